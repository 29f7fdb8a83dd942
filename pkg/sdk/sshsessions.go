package sdk

import (
	"context"
	"net/http"
	"time"
)

// SSHSession is what somebody did in a workspace: a shell, a command, a file
// transfer, or all that was forwarded at a time.
type SSHSession struct {
	ID        string     `json:"id"`
	Agent     string     `json:"agent" doc:"Name of the agent"`
	User      string     `json:"user" doc:"User name of who it was; empty if that is not known"`
	From      string     `json:"from" doc:"Where the client was: an address, or a relay's URL"`
	Path      string     `json:"path" doc:"direct, udp-relay, derp, derp-ws, webrtc or none, when it began"`
	Kind      string     `json:"kind" doc:"shell, command, terminal, sftp, scp, forwards or files"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at" doc:"Null while it is open, and if its end was never told"`
	RxBytes   int64      `json:"rx_bytes" doc:"From the client"`
	TxBytes   int64      `json:"tx_bytes" doc:"To the client"`
}

// SSHSessions returns who did what in a workspace lately, the newest first.
func (c *Client) SSHSessions(ctx context.Context, owner, name string) ([]SSHSession, error) {
	var l List[SSHSession]
	err := c.do(ctx, http.MethodGet, &l, nil, "workspaces", owner, name, "sessions")
	return l.Items, err
}
