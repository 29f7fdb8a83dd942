package sdk

import (
	"context"
	"net/http"
	"time"
)

// OwnWorkspace returns the workspace of the agent whose token the client has.
func (c *Client) OwnWorkspace(ctx context.Context) (w Workspace, err error) {
	err = c.do(ctx, http.MethodGet, &w, nil, "agent", "workspace")
	return w, err
}

// LinkedWorkspace returns what is needed to reach another workspace, if a link of the policy
// leads there from that one; the owner may be "me", who is the owner of that one. It is for
// agents and for programs of their workspaces.
func (c *Client) LinkedWorkspace(ctx context.Context, owner, name string) (w Workspace, err error) {
	err = c.do(ctx, http.MethodGet, &w, nil, "agent", "links", owner, name)
	return w, err
}

// ClientToken is what programs of a workspace go with where links of the policy lead.
type ClientToken struct {
	Token     string `json:"token" example:"adit_client_…"`
	ExpiresIn int64  `json:"expires_in_seconds" doc:"How long it is good for" example:"300"`
}

// MakeClientToken makes a token for the programs of that workspace.
func (c *Client) MakeClientToken(ctx context.Context) (t ClientToken, err error) {
	err = c.do(ctx, http.MethodPost, &t, nil, "agent", "client-token")
	return t, err
}

// StopOwnWorkspace has that workspace stopped.
func (c *Client) StopOwnWorkspace(ctx context.Context) (b Build, err error) {
	err = c.do(ctx, http.MethodPost, &b, nil, "agent", "stop")
	return b, err
}

// ExtendOwnWorkspace has that workspace not stop by itself for some time.
func (c *Client) ExtendOwnWorkspace(ctx context.Context, by time.Duration) (w Workspace, err error) {
	err = c.do(ctx, http.MethodPost, &w, Extend{Seconds: int64(by / time.Second)}, "agent", "extend")
	return w, err
}
