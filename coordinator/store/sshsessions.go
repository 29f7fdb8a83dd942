package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// SSHSession is what somebody did in a workspace.
type SSHSession struct {
	ID, AgentID uuid.UUID
	AgentName   string    // not to be recorded: the store knows it
	UserID      uuid.UUID // zero if that is not known
	UserName    string    // not to be recorded
	From        string
	Path, Kind  string
	StartedAt   time.Time
	EndedAt     time.Time // zero while it is open
	Rx, Tx      int64
}

// RecordSSHSessions keeps what agents tell of sessions, in one statement. Whose a
// session is stays what it was at first.
func (s *Store) RecordSSHSessions(ctx context.Context, batch []SSHSession) error {
	var p db.RecordSSHSessionsParams
	for _, r := range batch {
		ended := r.EndedAt
		if ended.IsZero() {
			ended = time.Unix(0, 0)
		}
		p.Ids, p.AgentIds, p.UserIds = append(p.Ids, r.ID), append(p.AgentIds, r.AgentID), append(p.UserIds, r.UserID)
		p.CameFroms, p.Paths, p.Kinds = append(p.CameFroms, r.From), append(p.Paths, r.Path), append(p.Kinds, r.Kind)
		p.StartedAts, p.EndedAts = append(p.StartedAts, r.StartedAt), append(p.EndedAts, ended)
		p.RxBytes, p.TxBytes = append(p.RxBytes, r.Rx), append(p.TxBytes, r.Tx)
	}
	return do(ctx, fmt.Sprintf("record %d sessions", len(batch)), func(ctx context.Context) error {
		return s.q.RecordSSHSessions(ctx, p)
	})
}

// SSHSessions returns the sessions of a workspace that began since some time, the
// newest first, at most so many.
func (s *Store) SSHSessions(ctx context.Context, workspaceID uuid.UUID, since time.Time, most int) ([]SSHSession, error) {
	rows, err := one(ctx, "sessions of workspace "+workspaceID.String(), func(ctx context.Context) ([]db.SshSession, error) {
		return s.q.SSHSessions(ctx, db.SSHSessionsParams{WorkspaceID: workspaceID, Since: since, Most: int32(most)})
	})
	list := make([]SSHSession, 0, len(rows))
	for _, r := range rows {
		one := SSHSession{
			ID: r.ID, AgentID: r.AgentID, AgentName: r.AgentName, UserID: r.UserID.UUID, UserName: r.UserName,
			From: r.CameFrom, Path: r.Path, Kind: r.Kind, StartedAt: r.StartedAt, Rx: r.RxBytes, Tx: r.TxBytes,
		}
		if r.EndedAt != nil {
			one.EndedAt = *r.EndedAt
		}
		list = append(list, one)
	}
	return list, err
}
