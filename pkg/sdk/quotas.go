package sdk

import (
	"context"
	"net/http"
)

// Usage is what a user's workspaces cost together, by their templates.
type Usage struct {
	Used   int  `json:"used"`
	Budget *int `json:"budget" doc:"How much they may; null is no limit"`
}

// Quota is how much the workspaces of a user, or of each member of a group, may
// cost together.
type Quota struct {
	User   string `json:"user,omitempty"`
	Group  string `json:"group,omitempty"`
	Budget int    `json:"budget"`
}

// SetQuota sets a quota.
type SetQuota struct {
	Budget int `json:"budget" minimum:"0" maximum:"1000000000"`
}

// Usage returns what one's own workspaces cost, and how much they may.
func (c *Client) Usage(ctx context.Context) (u Usage, err error) {
	err = c.do(ctx, http.MethodGet, &u, nil, "quota")
	return u, err
}

// Quotas lists all quotas.
func (c *Client) Quotas(ctx context.Context) ([]Quota, error) {
	var l List[Quota]
	err := c.do(ctx, http.MethodGet, &l, nil, "quotas")
	return l.Items, err
}

// SetQuota sets the quota of a user or, if no user is named, of each member of a
// group.
func (c *Client) SetQuota(ctx context.Context, q Quota) error {
	kind, of := quotaOf(q)
	return c.do(ctx, http.MethodPut, nil, SetQuota{Budget: q.Budget}, "quotas", kind, of)
}

// DeleteQuota ends a quota.
func (c *Client) DeleteQuota(ctx context.Context, q Quota) error {
	kind, of := quotaOf(q)
	return c.do(ctx, http.MethodDelete, nil, nil, "quotas", kind, of)
}

func quotaOf(q Quota) (kind, of string) {
	if q.User != "" {
		return "users", q.User
	}
	return "groups", q.Group
}

// SetFavourite puts a workspace among one's favourites, or takes it out.
func (c *Client) SetFavourite(ctx context.Context, owner, name string, is bool) error {
	method := http.MethodPut
	if !is {
		method = http.MethodDelete
	}
	return c.do(ctx, method, nil, nil, "workspaces", owner, name, "favourite")
}
