package sdk

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Condition is something that is true or not of a workspace, apart from its
// phase.
type Condition struct {
	Type    string `json:"type" doc:"agents-connected, scripts-ready, up-to-date, apps-healthy or, while a build is queued, provisioner-found"`
	Status  string `json:"status" enum:"true,false"`
	Message string `json:"message,omitempty" doc:"Why it is not true"`
}

// Transitions of a build.
const (
	TransitionStart  = "start"
	TransitionStop   = "stop"
	TransitionDelete = "delete"
)

// Build moves a workspace: it starts, stops or deletes it.
type Build struct {
	ID              string            `json:"id"`
	Number          int               `json:"number"`
	Transition      string            `json:"transition" enum:"start,stop,delete"`
	TemplateVersion int               `json:"template_version"`
	Parameters      map[string]string `json:"parameters"`
	Initiator       string            `json:"initiator" doc:"User name of who asked for it"`
	Reason          string            `json:"reason,omitempty"`
	Resources       []Resource        `json:"resources" doc:"What is there after it; empty until it is planned"`
	Job             Job               `json:"job"`
}

// Resource is something that a template makes.
type Resource struct {
	Address   string     `json:"address" doc:"Terraform's"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Ephemeral bool       `json:"ephemeral" doc:"It goes when the workspace stops; else it stays until delete"`
	Agents    []string   `json:"agents" doc:"Agents that run on it; none on a peripheral one"`
	Metadata  []Metadata `json:"metadata,omitempty"`
}

// Metadata is a fact about a resource. The value of a sensitive one is empty.
type Metadata struct {
	Key       string `json:"key"`
	Value     string `json:"value"`
	Sensitive bool   `json:"sensitive,omitempty"`
}

// Job is one piece of Terraform's work.
type Job struct {
	ID         string     `json:"id"`
	Status     string     `json:"status" enum:"queued,running,succeeded,failed,canceled"`
	Error      string     `json:"error,omitempty" doc:"Why it did not succeed, in one line"`
	Problems   []Problem  `json:"problems,omitempty"`
	Canceling  bool       `json:"canceling,omitempty" doc:"Its end was asked for"`
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Waiting    *Waiting   `json:"waiting,omitempty" doc:"Why it is queued; left out when it is about to begin"`
}

// Waiting is why a queued job has not begun.
type Waiting struct {
	Position int    `json:"position,omitempty" doc:"Its place among those that wait for the same provisioners, from 1 on; left out if no provisioner takes it"`
	Stuck    bool   `json:"stuck,omitempty" doc:"It does not begin by itself: no provisioner that is there takes it"`
	Message  string `json:"message" doc:"For people"`
}

// Done reports whether the job is over, one way or another.
func (j Job) Done() bool { return j.FinishedAt != nil }

// Problem is one thing that Terraform or the runner has to say about files.
type Problem struct {
	Warning bool   `json:"warning,omitempty"`
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
}

// String writes the problem on one line, as compilers do.
func (p Problem) String() string {
	text := p.Summary
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.File != "" {
		text = fmt.Sprintf("%s:%d: %s", p.File, p.Line, text)
	}
	return text
}

// NewBuild asks for a build.
type NewBuild struct {
	Transition string `json:"transition" enum:"start,stop,delete"`
	// Version of the template: zero keeps the workspace's, and -1 is the
	// active one.
	Version int `json:"version,omitempty" minimum:"-1"`
	// Parameters to change; the others stay as they are.
	Parameters map[string]string `json:"parameters,omitempty"`
	Reason     string            `json:"reason,omitempty" maxLength:"200"`
}

// ActiveVersion stands for whichever version of a template is active.
const ActiveVersion = -1

// Cancel asks for the end of a job: Terraform is interrupted or, with force,
// killed. Its state is saved all the same.
type Cancel struct {
	Force bool `json:"force,omitempty"`
}

// Rename asks for another name.
type Rename struct {
	Name string `json:"name" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a DNS label of lower-case letters, digits and hyphens"`
}

// CreateBuild moves a workspace. ErrConflict names the build that is under way.
func (c *Client) CreateBuild(ctx context.Context, owner, name string, req NewBuild) (b Build, err error) {
	err = c.do(ctx, http.MethodPost, &b, req, "workspaces", owner, name, "builds")
	return b, err
}

// Build returns one build.
func (c *Client) Build(ctx context.Context, owner, name string, number int) (b Build, err error) {
	err = c.do(ctx, http.MethodGet, &b, nil, "workspaces", owner, name, "builds", strconv.Itoa(number))
	return b, err
}

// CancelBuild asks for the end of a build.
func (c *Client) CancelBuild(ctx context.Context, owner, name string, number int, force bool) error {
	return c.do(ctx, http.MethodPost, nil, Cancel{Force: force}, "workspaces", owner, name, "builds", strconv.Itoa(number), "cancel")
}

// RenameWorkspace gives a workspace another name.
func (c *Client) RenameWorkspace(ctx context.Context, owner, name, newName string) (w Workspace, err error) {
	err = c.do(ctx, http.MethodPatch, &w, Rename{Name: newName}, "workspaces", owner, name)
	return w, err
}

// BuildLog returns the log of a build after a line; see [Client.VersionLog].
func (c *Client) BuildLog(ctx context.Context, owner, name string, number int, after int64, follow bool) (*Log, error) {
	return c.log(ctx, after, follow, "workspaces", owner, name, "builds", strconv.Itoa(number), "logs")
}

// AgentLog returns the log of an agent's scripts after a line. A job ends no
// such log: it is followed until ctx is done.
func (c *Client) AgentLog(ctx context.Context, owner, name, agent string, after int64, follow bool) (*Log, error) {
	return c.log(ctx, after, follow, "workspaces", owner, name, "agents", agent, "logs")
}

// PullState returns a workspace's Terraform state. For owners of the deployment.
func (c *Client) PullState(ctx context.Context, owner, name string) ([]byte, error) {
	return c.raw(ctx, "workspaces", owner, name, "state")
}

// PushState replaces a workspace's Terraform state. Unless forced it must
// descend from the one that is kept. For owners of the deployment.
func (c *Client) PushState(ctx context.Context, owner, name string, state []byte, force bool) error {
	return c.do(ctx, http.MethodPut, nil, PushedState{State: state, Force: force}, "workspaces", owner, name, "state")
}

// PushedState is a Terraform state to keep.
type PushedState struct {
	State []byte `json:"state" doc:"The state file, in base64"`
	// Force keeps a state that does not descend from the one that is kept.
	Force bool `json:"force,omitempty"`
}
