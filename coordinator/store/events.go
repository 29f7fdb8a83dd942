package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Kinds of events: what they are about.
const (
	EventWorkspace       = "workspace"
	EventBuild           = "build"
	EventAgent           = "agent"
	EventMetadata        = "agent_metadata"
	EventPorts           = "ports"
	EventApps            = "apps"
	EventNode            = "node"
	EventTemplate        = "template"
	EventTemplateVersion = "template_version"
	EventUser            = "user"
	EventToken           = "token"
	EventProvisionerKey  = "provisioner_key"
	EventShare           = "share"
	// EventLink is of a client and an agent of the workspace's.
	EventLink = "link"
	// EventWebhook is of a webhook that came or went, or is to get something again.
	EventWebhook = "webhook"
	// EventMembership is of a user, in a group or an organization.
	EventMembership = "membership"
	// EventPolicy is of the policy, which is another now.
	EventPolicy = "policy"
)

// EventKinds are all there are.
func EventKinds() []string {
	return []string{
		EventWorkspace, EventBuild, EventAgent, EventMetadata, EventPorts, EventApps, EventNode, EventTemplate, EventTemplateVersion, EventUser, EventToken, EventProvisionerKey,
		EventShare, EventMembership, EventLink, EventWebhook, EventPolicy,
	}
}

// What an event says has become of its subject.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"
)

// Event is one change. The database writes it in the change's own transaction:
// see migration 00011.
type Event struct {
	// Version grows in the order of commits: who has seen one has seen all below.
	Version      int64
	At           time.Time
	Kind, Action string
	SubjectID    uuid.UUID
	// WorkspaceID is of what belongs to one, and OwnerID whose it is; zero if
	// nobody's.
	WorkspaceID, OwnerID uuid.UUID
	// Data is a few facts of the subject, an object.
	Data json.RawMessage
}

func eventFrom(e db.Event) Event {
	return Event{
		Version: e.Version, At: e.At, Kind: e.Kind, Action: e.Action, SubjectID: e.SubjectID,
		WorkspaceID: e.WorkspaceID.UUID, OwnerID: e.OwnerID.UUID, Data: e.Data,
	}
}

// EventsAfter returns at most limit events, from the one after a version on;
// ErrGone if some of those that followed it are pruned.
func (s *Store) EventsAfter(ctx context.Context, after int64, limit int) ([]Event, error) {
	rows, err := one(ctx, "events", func(ctx context.Context) ([]db.EventsAfterRow, error) {
		return s.q.EventsAfter(ctx, db.EventsAfterParams{Version: after, Limit: int32(limit)})
	})
	if err != nil || len(rows) == 0 { // the newest is never pruned
		return nil, err
	}
	if after < rows[0].Oldest-1 {
		return nil, fmt.Errorf("store: events after %d: %w", after, ErrGone)
	}
	list := make([]Event, 0, len(rows))
	for _, r := range rows {
		list = append(list, Event{
			Version: r.Version, At: r.At, Kind: r.Kind, Action: r.Action, SubjectID: r.SubjectID,
			WorkspaceID: r.WorkspaceID.UUID, OwnerID: r.OwnerID.UUID, Data: r.Data,
		})
	}
	return list, nil
}

// NewestEvent returns the version of the newest event; 0 if there is none.
// What is read after it is at least as new.
func (s *Store) NewestEvent(ctx context.Context) (int64, error) {
	return one(ctx, "newest event", s.q.NewestEvent)
}

// pruneBatch bounds one statement that prunes: a fraction of a second.
const pruneBatch = 10_000

// PruneEvents forgets events from before a time, a bounded number, and reports
// how many it were.
func (s *Store) PruneEvents(ctx context.Context, before time.Time) (int64, error) {
	return one(ctx, "prune events", func(ctx context.Context) (int64, error) {
		return s.q.PruneEvents(ctx, db.PruneEventsParams{Before: before, Batch: pruneBatch})
	})
}

// ListenEvents calls wake once it listens, and then whenever there may be new
// events, on a connection of its own until that breaks or ctx is done.
func (s *Store) ListenEvents(ctx context.Context, wake func()) error {
	dial, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(dial, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("store: listen for events: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
		defer cancel()
		// It is not used again, whatever it says.
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(dial, "listen adit_events"); err != nil {
		return fmt.Errorf("store: listen for events: %w", err)
	}
	for {
		wake()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("store: listen for events: %w", err)
		}
	}
}

// WorkspacesByIDs returns those of some workspaces that are not deleted.
func (s *Store) WorkspacesByIDs(ctx context.Context, ids []uuid.UUID) ([]Workspace, error) {
	rows, err := one(ctx, "workspaces by id", func(ctx context.Context) ([]db.WorkspacesByIDsRow, error) {
		return s.q.WorkspacesByIDs(ctx, ids)
	})
	if err != nil {
		return nil, err
	}
	list := make([]Workspace, 0, len(rows))
	for _, r := range rows {
		list = append(list, workspaceFrom(db.WorkspaceByNameRow(r)))
	}
	return s.withAgents(ctx, list)
}
