package sdk

import (
	"context"
	"net/http"
	"strconv"
)

// What is done when a port of a workspace begins to listen.
const (
	OnOpenNotify = "notify"
	OnOpenIgnore = "ignore"
	OnOpenOpen   = "open"
)

// Port is a port of a workspace: one on which something listens, or one that the
// template or a repository names.
type Port struct {
	Agent     string `json:"agent" doc:"Name of the agent"`
	Network   string `json:"network" enum:"tcp,udp"`
	Port      int    `json:"port" minimum:"1" maximum:"65535"`
	Listening bool   `json:"listening" doc:"Something listens on it"`
	Address   string `json:"address,omitempty" doc:"Where it listens; of several addresses, the one that most reach"`
	Process   string `json:"process,omitempty" doc:"Name of the program; empty where the agent cannot see it"`
	PID       int    `json:"pid,omitempty"`
	Protocol  string `json:"protocol" enum:"http,https,tcp,udp" doc:"As far as is known"`
	// What follows is as the template says or, if it says nothing, a repository.
	Label      string `json:"label,omitempty"`
	OnOpen     string `json:"on_open" enum:"notify,ignore,open" doc:"What is to be done when it begins to listen"`
	Visibility string `json:"visibility" enum:"owner,authenticated,public" doc:"Who may open it in a browser: as somebody has chosen, or else as the template or a repository says"`
	Link       string `json:"link,omitempty" doc:"Where a browser finds it, if it speaks HTTP; empty if the deployment has no names for ports"`
}

// PortSetting is what a template or a repository says of a port, or of a range of
// ports.
type PortSetting struct {
	First      int    `json:"first"`
	Last       int    `json:"last"`
	Label      string `json:"label,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
	OnOpen     string `json:"on_open"`
	Visibility string `json:"visibility"`
}

// WorkspacePorts returns the ports of a workspace.
func (c *Client) WorkspacePorts(ctx context.Context, owner, name string) ([]Port, error) {
	var l List[Port]
	err := c.do(ctx, http.MethodGet, &l, nil, "workspaces", owner, name, "ports")
	return l.Items, err
}

// Who may open a port in a browser.
const (
	VisibleOwner         = "owner" // and those with whom the workspace is shared
	VisibleAuthenticated = "authenticated"
	VisiblePublic        = "public"
)

// SetPort says who may open a port in a browser.
type SetPort struct {
	Visibility string `json:"visibility" enum:"owner,authenticated,public"`
}

// SetPortVisibility says who may open a port in a browser, whatever the template says.
// What others have open who may not ends.
func (c *Client) SetPortVisibility(ctx context.Context, owner, name, agent string, port int, visibility string) error {
	return c.do(ctx, http.MethodPut, nil, SetPort{visibility}, "workspaces", owner, name, "agents", agent, "ports", strconv.Itoa(port))
}

// ResetPortVisibility leaves it to the template again.
func (c *Client) ResetPortVisibility(ctx context.Context, owner, name, agent string, port int) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "workspaces", owner, name, "agents", agent, "ports", strconv.Itoa(port))
}

// SettingOf returns what holds for a port: what is said of the fewest.
func SettingOf(settings []PortSetting, number int) (found PortSetting, ok bool) {
	for _, s := range settings {
		if s.First <= number && number <= s.Last && (!ok || s.Last-s.First < found.Last-found.First) {
			found, ok = s, true
		}
	}
	return found, ok
}
