package sdk

import (
	"context"
	"net/http"
)

// States of an app.
const (
	// AppUnchecked is one that the agent neither runs nor checks.
	AppUnchecked = "unchecked"
	AppStarting  = "starting"
	AppHealthy   = "healthy"
	AppUnhealthy = "unhealthy"
)

// App is an application that a template gives an agent.
type App struct {
	Slug        string `json:"slug" doc:"What it is called in URLs"`
	DisplayName string `json:"display_name,omitempty"`
	URL         string `json:"url,omitempty" doc:"Where it is, as the agent sees it"`
	Subdomain   bool   `json:"subdomain,omitempty" doc:"It has a host name of its own"`
	Share       string `json:"share" enum:"owner,authenticated,public" doc:"Who may use it"`
	// What follows is the agent's to do.
	Command     string    `json:"command,omitempty" doc:"Run by the agent, and again whenever it ends"`
	HealthCheck *AppCheck `json:"health_check,omitempty"`
}

// AppCheck is how an agent sees whether an app is well: one of URL, TCP and
// Command.
type AppCheck struct {
	URL             string `json:"url,omitempty" doc:"Answers with a status below 500"`
	TCP             string `json:"tcp,omitempty" doc:"HOST:PORT that takes connections"`
	Command         string `json:"command,omitempty" doc:"Ends with exit code 0"`
	IntervalSeconds int    `json:"interval_seconds"`
	Threshold       int    `json:"threshold" doc:"How often in a row it has to fail"`
}

// WorkspaceApp is an app of a workspace, with how it is doing.
type WorkspaceApp struct {
	Agent string `json:"agent" doc:"Name of the agent"`
	App
	State string `json:"state" enum:"unchecked,starting,healthy,unhealthy"`
	Why   string `json:"why,omitempty" doc:"Why it is not well"`
	Link  string `json:"link,omitempty" doc:"Where a browser finds it; empty if it has no pages, or the deployment no names for apps"`
}

// WorkspaceApps returns the apps of a workspace.
func (c *Client) WorkspaceApps(ctx context.Context, owner, name string) ([]WorkspaceApp, error) {
	var l List[WorkspaceApp]
	err := c.do(ctx, http.MethodGet, &l, nil, "workspaces", owner, name, "apps")
	return l.Items, err
}
