package sdk

import (
	"context"
	"net/http"
	"time"
)

// Schedule says when a workspace starts and stops without anybody asking. Times
// that are null do not come.
type Schedule struct {
	Autostart string     `json:"autostart" doc:"DAYS HH:MM ZONE, such as mon-fri 08:30 Europe/Berlin; empty is never"`
	StartsAt  *time.Time `json:"starts_at"`
	TTL       int64      `json:"ttl_seconds" doc:"How long it runs after its start, unless it is used; 0 is for ever"`
	OwnTTL    bool       `json:"own_ttl" doc:"Its owner says how long, not its template"`
	StopsAt   *time.Time `json:"stops_at" doc:"Unless it is used until then"`
	// What follows is of templates that have unused workspaces end.
	DormantAt *time.Time `json:"dormant_at" doc:"When it becomes dormant unless it is used, or when it did"`
	Dormant   bool       `json:"dormant"`
	DeletesAt *time.Time `json:"deletes_at" doc:"When it is deleted unless it is woken"`
}

// SetSchedule changes what is set of a schedule.
type SetSchedule struct {
	Autostart *string `json:"autostart,omitempty" maxLength:"100" doc:"DAYS HH:MM [ZONE]; empty is never" example:"mon-fri 08:30 Europe/Berlin"`
	TTL       *int64  `json:"ttl_seconds,omitempty" minimum:"-1" maximum:"31536000" doc:"0 is for ever, -1 what the template says"`
}

// Extend asks that a running workspace does not stop for some time.
type Extend struct {
	Seconds int64 `json:"seconds" minimum:"60" maximum:"2592000" doc:"From now on"`
}

// TemplateLimits are what a template says of its workspaces. Zero is never, for
// ever, or no limit.
type TemplateLimits struct {
	DefaultTTL   int64  `json:"default_ttl_seconds" minimum:"0" maximum:"31536000" doc:"How long a workspace runs after its start, unless its owner says otherwise"`
	MaxTTL       int64  `json:"max_ttl_seconds" minimum:"0" maximum:"31536000" doc:"How long at most, however much it is used"`
	ActivityBump int64  `json:"activity_bump_seconds" minimum:"0" maximum:"604800" doc:"How long use puts the stop off"`
	Autostart    bool   `json:"autostart" doc:"Whether workspaces may start by themselves"`
	DormantAfter int64  `json:"dormant_after_seconds" minimum:"0" maximum:"315360000" doc:"How long a workspace may go unused before it is stopped and marked"`
	DeleteAfter  int64  `json:"delete_after_seconds" minimum:"0" maximum:"315360000" doc:"How long after that it is deleted"`
	Cost         int64  `json:"cost" minimum:"0" maximum:"1000000" doc:"What each workspace takes of its owner's quota"`
	Deprecated   string `json:"deprecated,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*$" patternDescription:"text without control characters" doc:"Why the template is not to be used any more, and what is in its place; empty unless that is so"`
}

// SetSchedule changes when a workspace starts and stops by itself.
func (c *Client) SetSchedule(ctx context.Context, owner, name string, s SetSchedule) (w Workspace, err error) {
	err = c.do(ctx, http.MethodPatch, &w, s, "workspaces", owner, name, "schedule")
	return w, err
}

// ExtendWorkspace has a running workspace not stop for some time.
func (c *Client) ExtendWorkspace(ctx context.Context, owner, name string, by time.Duration) (w Workspace, err error) {
	err = c.do(ctx, http.MethodPost, &w, Extend{Seconds: int64(by / time.Second)}, "workspaces", owner, name, "extend")
	return w, err
}

// WakeWorkspace ends that a workspace is dormant, without starting it.
func (c *Client) WakeWorkspace(ctx context.Context, owner, name string) (w Workspace, err error) {
	err = c.do(ctx, http.MethodPost, &w, nil, "workspaces", owner, name, "wake")
	return w, err
}

// TemplateLimits returns what a template says of its workspaces.
func (c *Client) TemplateLimits(ctx context.Context, name string) (l TemplateLimits, err error) {
	err = c.do(ctx, http.MethodGet, &l, nil, owned("templates", name, "limits")...)
	return l, err
}

// SetTemplateLimits sets all that a template says of its workspaces.
func (c *Client) SetTemplateLimits(ctx context.Context, name string, l TemplateLimits) (set TemplateLimits, err error) {
	err = c.do(ctx, http.MethodPut, &set, l, owned("templates", name, "limits")...)
	return set, err
}
