package sdk

import (
	"context"
	"net/http"
	"time"
)

// Levels at which a workspace is shared. Each has what those before it have.
const (
	ShareApps    = "apps"    // to see it, and open its apps
	ShareConnect = "connect" // and to reach it: SSH, ports, the VPN
	ShareAdmin   = "admin"   // and to start, stop, rename and schedule it
)

// Share is a user or a group that a workspace is shared with.
type Share struct {
	User  string    `json:"user,omitempty" doc:"User name; empty if it is a group"`
	Group string    `json:"group,omitempty" doc:"Name of the group"`
	Level string    `json:"level" enum:"apps,connect,admin"`
	By    string    `json:"by" doc:"User name of who shared it"`
	Since time.Time `json:"since"`
}

// SetShare says how far somebody is let in.
type SetShare struct {
	Level string `json:"level" enum:"apps,connect,admin"`
}

// Shares lists whom a workspace is shared with.
func (c *Client) Shares(ctx context.Context, owner, name string) ([]Share, error) {
	return collect(each[Share](ctx, c, ListOptions{}, nil, "workspaces", owner, name, "shares"))
}

// ShareWithUser lets a user in.
func (c *Client) ShareWithUser(ctx context.Context, owner, name, user, level string) error {
	return c.do(ctx, http.MethodPut, nil, SetShare{Level: level}, "workspaces", owner, name, "shares", "users", user)
}

// ShareWithGroup lets the members of a group in.
func (c *Client) ShareWithGroup(ctx context.Context, owner, name, group, level string) error {
	return c.do(ctx, http.MethodPut, nil, SetShare{Level: level}, "workspaces", owner, name, "shares", "groups", group)
}

// UnshareWithUser lets a user in no longer. What they have open ends.
func (c *Client) UnshareWithUser(ctx context.Context, owner, name, user string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "workspaces", owner, name, "shares", "users", user)
}

// UnshareWithGroup lets the members of a group in no longer.
func (c *Client) UnshareWithGroup(ctx context.Context, owner, name, group string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "workspaces", owner, name, "shares", "groups", group)
}

// SharedWorkspaces lists the workspaces that others share with one.
func (c *Client) SharedWorkspaces(ctx context.Context) ([]Workspace, error) {
	return collect(each[Workspace](ctx, c, ListOptions{}, nil, "shared-workspaces"))
}
