package sdk

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AuditEntry says who did what, or was not let.
type AuditEntry struct {
	ID    string     `json:"id" doc:"Grows with time"`
	At    time.Time  `json:"at"`
	Actor AuditActor `json:"actor"`
	// Action is what was done, such as workspace.created, or the operation that
	// was refused.
	Action     string `json:"action"`
	Outcome    string `json:"outcome" enum:"done,refused"`
	ObjectID   string `json:"object_id,omitempty"`
	ObjectName string `json:"object_name,omitempty"`
	// Before and After are the object without its secrets; null where it is not.
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
}

// AuditActor is who it was, and from where.
type AuditActor struct {
	Kind      string `json:"kind" enum:"system,nobody,user,agent,provisioner" doc:"nobody has not said who they are"`
	ID        string `json:"id,omitempty" doc:"Of the user"`
	Name      string `json:"name,omitempty" doc:"What the user was called then"`
	TokenID   string `json:"token_id,omitempty"`
	Remote    string `json:"remote,omitempty" doc:"Address that the request came from"`
	RequestID string `json:"request_id,omitempty"`
}

// AuditFilter chooses entries. What is empty chooses all.
type AuditFilter struct {
	Actor  string // user name
	Action string // one, or all of those of a kind: workspace
	Object string // name or id
	// Outcome is done or refused.
	Outcome      string
	Since, Until time.Time
	// Cursor is the NextCursor of the page before, and Limit how many entries
	// are wanted; zero is the coordinator's choice.
	Cursor string
	Limit  int
}

// Audit returns a page of the audit log, the newest first.
func (c *Client) Audit(ctx context.Context, f AuditFilter) (p List[AuditEntry], err error) {
	q := url.Values{}
	for k, v := range map[string]string{
		"actor": f.Actor, "action": f.Action, "object": f.Object, "outcome": f.Outcome, "cursor": f.Cursor,
	} {
		if v != "" {
			q.Set(k, v)
		}
	}
	for k, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			q.Set(k, t.Format(time.RFC3339Nano))
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	err = c.do(ctx, http.MethodGet, &p, nil, "audit?"+q.Encode())
	return p, err
}
