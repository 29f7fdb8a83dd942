package sdk

import (
	"net/netip"
	"time"
)

// User is a person.
type User struct {
	ID        string    `json:"id"`
	Username  string    `json:"username"`
	Email     string    `json:"email"`
	Role      string    `json:"role" enum:"owner,template-admin,user-admin,auditor,member"`
	CreatedAt time.Time `json:"created_at"`
	// SuspendedAt is set for those who are kept out.
	SuspendedAt *time.Time `json:"suspended_at,omitempty"`
}

// Workspace is a workspace with its agents.
type Workspace struct {
	ID    string `json:"id"`
	Owner string `json:"owner" doc:"User name of the owner"`
	Name  string `json:"name"`
	// Organization is where it belongs: where its template does, if one made it.
	Organization string    `json:"organization" doc:"Name of the organization that it, and its template, belongs to"`
	External     bool      `json:"external" doc:"Somebody runs the agent by hand; no template makes it"`
	CreatedAt    time.Time `json:"created_at"`
	// LastActiveAt is when somebody last used it: input to SSH, file transfers,
	// forwarded and VPN traffic.
	LastActiveAt *time.Time `json:"last_active_at" doc:"When somebody last used it, within two minutes; null if nobody has"`
	Agents       []Agent    `json:"agents"`
	Favourite    bool       `json:"favourite,omitempty" doc:"You put it among your favourites"`
	// Shared is how far the owner lets the caller in; empty for the owner.
	Shared string `json:"shared,omitempty" doc:"Level at which it is shared with you; empty if it is yours"`

	Phase      string      `json:"phase" enum:"pending,starting,running,stopping,stopped,deleting,deleted,failed"`
	Conditions []Condition `json:"conditions" doc:"What is true of it beside its phase"`
	Cost       int         `json:"cost,omitempty" doc:"What it takes of its owner's quota: what its template says, and what its resources cost a day"`
	// The rest is empty for external workspaces.
	Template        string    `json:"template,omitempty"`
	TemplateVersion int       `json:"template_version,omitempty" doc:"Of the latest build"`
	Outdated        bool      `json:"outdated,omitempty" doc:"The template has another active version"`
	LatestBuild     *Build    `json:"latest_build,omitempty"`
	Schedule        *Schedule `json:"schedule,omitempty"`
	Warnings        []string  `json:"warnings,omitempty" doc:"What is about to happen to it, for people"`
}

// Agent is the program that runs in a workspace. Its node id on the mesh is
// its id.
type Agent struct {
	ID               string     `json:"id"`
	Name             string     `json:"name"`
	NodeID           string     `json:"node_id"`
	Address          netip.Addr `json:"address" doc:"Mesh address"`
	State            string     `json:"state" enum:"connecting,connected,disconnected,timeout"`
	Version          string     `json:"version"`
	FirstConnectedAt *time.Time `json:"first_connected_at"`
	LastConnectedAt  *time.Time `json:"last_connected_at"`
	DisconnectedAt   *time.Time `json:"disconnected_at"`
	Scripts          string     `json:"scripts" enum:"none,running,succeeded,failed,timeout" doc:"How its startup scripts are doing"`
	LoginWaits       bool       `json:"login_waits,omitempty" doc:"The template wants log-ins to wait until some of the scripts are done, and they are not yet"`
	HostKey          string     `json:"host_key,omitempty" doc:"The SSH key that it answers with, as authorized_keys has it; empty until it is known"`
	// Directory is left out of lists.
	Directory string `json:"directory,omitempty" doc:"Where sessions begin, as the agent says while it is connected; not in lists"`
	// ScriptRuns are left out of lists.
	ScriptRuns []ScriptStatus `json:"script_runs,omitempty" doc:"How each script is doing, as the agent says; not in lists"`
	// Metadata is left out of lists.
	Metadata []AgentMetadata `json:"metadata,omitempty" doc:"What the template has the agent measure; not in lists"`
}

// CreatedWorkspace is a new workspace and, if it is external, the token that its
// agent joins with. The token is shown this once.
type CreatedWorkspace struct {
	Workspace
	AgentToken   string `json:"agent_token,omitempty"`
	AgentCommand string `json:"agent_command,omitempty" doc:"What to run on the workspace's host"`
}

// CreateWorkspace asks for a workspace.
type CreateWorkspace struct {
	Name     string `json:"name" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a DNS label of lower-case letters, digits and hyphens"`
	External bool   `json:"external,omitempty"`
	// Organization is where an external workspace belongs, the default one unless
	// set. Others belong where their template does, which it may name.
	Organization string `json:"organization,omitempty" maxLength:"64"`
	// Template makes the workspace, unless it is external.
	Template string `json:"template,omitempty" maxLength:"129" doc:"Its name, or ORGANIZATION/NAME if several organizations have one of that name"`
	// Version of the template; zero is the active one.
	Version    int               `json:"version,omitempty" minimum:"0"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

// FirstUser asks for the first user of a deployment.
type FirstUser struct {
	Username string `json:"username" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a DNS label of lower-case letters, digits and hyphens"`
	Email    string `json:"email" format:"email" maxLength:"254"`
	Password string `json:"password" minLength:"8" maxLength:"512"`
}

// Login asks for a session.
type Login struct {
	Username string `json:"username" minLength:"1" maxLength:"254"`
	Password string `json:"password" minLength:"1" maxLength:"512"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Keep the session in a cookie, for browsers, instead of answering its token"`
}

// Session is a token and whom it is for.
type Session struct {
	Token string `json:"token" doc:"Empty if a cookie has it"`
	User  User   `json:"user"`
}

// Token is an API token, without its secret.
type Token struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Scopes     []string   `json:"scopes,omitempty" doc:"What it may be used for; everything that its user may do unless set"`
	Kind       string     `json:"kind,omitempty" enum:"token,login,browser" doc:"Made by name, by a command line that signed in, or a browser's session"`
}

// CreateToken asks for an API token.
type CreateToken struct {
	Name string `json:"name" minLength:"1" maxLength:"64" pattern:"^[^\\x00-\\x1f\\x7f]*$" patternDescription:"text without control characters"`
	// Lifetime in seconds; zero is for as long as the deployment lets tokens last.
	Lifetime int64    `json:"lifetime_seconds,omitempty" minimum:"0" maximum:"315360000"`
	Scopes   []string `json:"scopes,omitempty" maxItems:"200" doc:"RESOURCE:ACTION each, where * is any; everything unless set"`
}

// CreatedToken is a new token; its text is shown this once.
type CreatedToken struct {
	Token
	Text string `json:"token"`
}

// BuildInfo says what a coordinator is.
type BuildInfo struct {
	Version string `json:"version"`
	// HasUsers is false on an empty deployment, whose first user is to be made.
	HasUsers bool `json:"has_users"`
}

// Connection is a client linked to an agent, and the path between the two as
// each end sees it.
type Connection struct {
	Agent           string    `json:"agent" doc:"Name of the agent"`
	Client          string    `json:"client" doc:"Name of the client, its user's"`
	ClientNodeID    string    `json:"client_node_id"`
	ClientConnected bool      `json:"client_connected" doc:"Whether the client has a control session; its tunnel may live without"`
	ByClient        *PathView `json:"by_client" doc:"Null until the client has reported"`
	ByAgent         *PathView `json:"by_agent" doc:"Null until the agent has reported"`
}

// PathView is the path that one end's packets take.
type PathView struct {
	Path    string    `json:"path" doc:"direct, udp-relay, derp, derp-ws or none"`
	Region  string    `json:"region,omitempty" doc:"Code of the relay's region, if it takes one"`
	RTTMs   float64   `json:"rtt_ms,omitempty" doc:"Round trip, where it is known"`
	MTU     int       `json:"mtu" doc:"Largest packet inside the tunnel, in bytes"`
	RxBytes uint64    `json:"rx_bytes" doc:"What came in over the link since it was made, as of the last half minute"`
	TxBytes uint64    `json:"tx_bytes" doc:"What went out over it"`
	Verdict *Verdict  `json:"verdict" doc:"Why the path is not direct; null when it is"`
	At      time.Time `json:"at" doc:"When that was reported"`
}

// Verdict says why a path is not direct, on what evidence, and the one thing
// that would change it.
type Verdict struct {
	Code     string `json:"code"`
	Evidence string `json:"evidence"`
	Fix      string `json:"fix"`
}
