package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxSSHSessions bounds an answer.
	maxSSHSessions = 1000

	// sshSessionsSince is how far back the answer goes unless the caller says.
	sshSessionsSince = 7 * 24 * time.Hour
)

func (a *API) registerSSHSessions(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "workspace-sessions", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}/sessions",
		Summary: "Who did what in a workspace, the newest first", Security: signedIn(),
	}, a.sshSessions)
}

func (a *API) sshSessions(ctx context.Context, in *struct {
	WorkspacePath
	Since time.Time `query:"since" doc:"A week ago if left out; sessions are kept for 90 days"`
}) (*body[sdk.List[sdk.SSHSession]], error) {
	w, err := a.find(ctx, auth.Update, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	since := in.Since
	if since.IsZero() {
		since = time.Now().Add(-sshSessionsSince)
	}
	list, err := a.Store.SSHSessions(ctx, w.ID, since, maxSSHSessions)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.SSHSession, 0, len(list))
	for _, s := range list {
		items = append(items, sshSessionJSON(s))
	}
	return &body[sdk.List[sdk.SSHSession]]{sdk.List[sdk.SSHSession]{Items: items}}, nil
}

func sshSessionJSON(s store.SSHSession) sdk.SSHSession {
	j := sdk.SSHSession{
		ID: s.ID.String(), Agent: s.AgentName, User: s.UserName, From: s.From, Path: s.Path, Kind: s.Kind,
		StartedAt: s.StartedAt, RxBytes: s.Rx, TxBytes: s.Tx,
	}
	if !s.EndedAt.IsZero() {
		j.EndedAt = &s.EndedAt
	}
	return j
}
