package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Manifest is what an agent is to be, as its template says.
type Manifest struct {
	Agent                    string            `json:"agent" doc:"Its own name"`
	Workspace                string            `json:"workspace"`
	Owner                    string            `json:"owner" doc:"User name of the workspace's owner"`
	Directory                string            `json:"directory,omitempty" doc:"Where sessions begin; the home directory if empty"`
	Env                      map[string]string `json:"env,omitempty"`
	Scripts                  []Script          `json:"scripts,omitempty"`
	ConnectionTimeoutSeconds int               `json:"connection_timeout_seconds,omitempty"`
	Metadata                 []Measure         `json:"metadata,omitempty" doc:"What it is to measure again and again"`
	ForbidFileTransfer       bool              `json:"forbid_file_transfer,omitempty" doc:"Sessions carry no files"`
	ForbidForwarding         bool              `json:"forbid_forwarding,omitempty" doc:"Neither ports nor sockets, agents and displays are forwarded"`
	// HostKeySeed is what the agent's SSH host key is made of, and nobody else may
	// know.
	HostKeySeed  []byte        `json:"host_key_seed,omitempty" doc:"Seed of its Ed25519 host key; left out unless it is asked for"`
	Ports        []PortSetting `json:"ports,omitempty" doc:"What the template says of ports"`
	Repositories []Repository  `json:"repositories,omitempty" doc:"What it is to clone if that is not there"`
	Dotfiles     *Dotfiles     `json:"dotfiles,omitempty" doc:"What makes it its owner's"`
	Apps         []App         `json:"apps,omitempty" doc:"What it is to run and check"`
	// LastLine is the last line of its scripts that is kept; numbering goes on
	// from there.
	LastLine int64 `json:"last_line"`
}

// Script is one that an agent runs.
type Script struct {
	Name           string `json:"name"`
	Script         string `json:"script"`
	RunOn          string `json:"run_on" doc:"start, stop or a cron expression"`
	BlocksLogin    bool   `json:"blocks_login,omitempty" doc:"Log-ins wait until it is done"`
	TimeoutSeconds int    `json:"timeout_seconds,omitempty" doc:"Zero means without limit"`
	// RunAfter are names of scripts that run on the same and must have succeeded
	// first, or run if they are services. Others run at the same time.
	RunAfter []string `json:"run_after,omitempty" doc:"Names of those that have to succeed before it begins"`
	// Service is one that goes on, and that nobody waits for.
	Service bool `json:"service,omitempty" doc:"It goes on until the agent ends, and is started again when it fails"`
}

// States of a script, beside those of all startup scripts.
const (
	ScriptWaiting    = "waiting"    // it has not run yet, or waits for its time
	ScriptSkipped    = "skipped"    // what it runs after did not succeed
	ScriptRestarting = "restarting" // a service that failed and waits to be started again
)

// ScriptStatus is how a script is doing.
type ScriptStatus struct {
	Name       string     `json:"name" maxLength:"200"`
	RunOn      string     `json:"run_on" maxLength:"200"`
	State      string     `json:"state" enum:"waiting,running,succeeded,failed,timeout,skipped,restarting"`
	Blocking   bool       `json:"blocks_login,omitempty" doc:"Log-ins wait until it is done"`
	Service    bool       `json:"service,omitempty"`
	Runs       int        `json:"runs,omitempty" minimum:"0" doc:"How often it was started"`
	ExitCode   *int       `json:"exit_code,omitempty" doc:"Of the last run that ended; left out if a signal or the time limit ended it"`
	StartedAt  *time.Time `json:"started_at,omitempty" doc:"When the last run began"`
	FinishedAt *time.Time `json:"finished_at,omitempty" doc:"When it ended; left out while it runs"`
	NextAt     *time.Time `json:"next_at,omitempty" doc:"When it runs next"`
	Message    string     `json:"message,omitempty" maxLength:"500" doc:"Why it is in this state, for people"`
}

// Over reports whether a script will not run, or go on, by itself.
func (s ScriptStatus) Over() bool {
	return s.State != ScriptWaiting && s.State != ScriptsRunning && s.State != ScriptRestarting
}

// Measure is a command whose output an agent reports again and again.
type Measure struct {
	Key             string `json:"key"`
	Script          string `json:"script"`
	IntervalSeconds int    `json:"interval_seconds"`
	TimeoutSeconds  int    `json:"timeout_seconds,omitempty" doc:"Zero means as long as the interval"`
}

// States of an agent's startup scripts.
const (
	ScriptsNone      = "none"
	ScriptsRunning   = "running"
	ScriptsSucceeded = "succeeded"
	ScriptsFailed    = "failed"
	ScriptsTimeout   = "timeout"
)

// ScriptsReport says how an agent's scripts are doing.
type ScriptsReport struct {
	State string `json:"state" enum:"none,running,succeeded,failed,timeout" doc:"Of the startup scripts together"`
	// Scripts are all of them, of any kind.
	Scripts []ScriptStatus `json:"scripts,omitempty" maxItems:"256"`
}

// AgentLines is what an agent's scripts have said. The agent numbers them, so
// that a batch sent twice is kept once.
type AgentLines struct {
	Lines []LogLine `json:"lines" maxItems:"256"`
}

// Manifest returns what the agent whose token the client has is to be, which
// promises to have the host key that it is told.
func (c *Client) Manifest(ctx context.Context) (m Manifest, err error) {
	err = c.do(ctx, http.MethodGet, &m, nil, "agent/manifest?host_key=true")
	return m, err
}

// ReportScripts tells how the agent's startup scripts are doing.
func (c *Client) ReportScripts(ctx context.Context, r ScriptsReport) error {
	return c.do(ctx, http.MethodPut, nil, r, "agent", "scripts")
}

// SendAgentLines stores what the agent's scripts have said.
func (c *Client) SendAgentLines(ctx context.Context, lines []LogLine) error {
	return c.do(ctx, http.MethodPost, nil, AgentLines{Lines: lines}, "agent", "logs")
}

// AgentProgram returns the program that an agent of a platform runs, and its SHA-256
// in hex. Of one whose digest the caller has already there is nothing to read: program
// is nil. Otherwise the caller closes it.
func (c *Client) AgentProgram(ctx context.Context, system, arch, have string) (program io.ReadCloser, digest string, err error) {
	req, err := c.request(ctx, http.MethodGet, nil, "agent", "binary", system, arch)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("If-None-Match", `"`+have+`"`)
	patient := *c.http
	patient.Timeout = 0 // a slow line takes minutes; ctx says how many
	resp, err := patient.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("no answer from the coordinator: %w", err)
	}
	if resp.StatusCode == http.StatusNotModified {
		return nil, have, resp.Body.Close()
	}
	if err := c.refused(resp); err != nil {
		return nil, "", errors.Join(err, resp.Body.Close())
	}
	return resp.Body, resp.Header.Get("Adit-Sha256"), nil
}
