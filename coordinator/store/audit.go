package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Outcomes of what the audit log tells of.
const (
	AuditDone    = "done"
	AuditRefused = "refused"
)

// AuditEntry says who did what, or was not let. Changes of rows the database
// notes itself, in the transaction of the change: see migration 00011.
type AuditEntry struct {
	ID int64
	At time.Time
	// Actor is who it was, and ActorName what they were called then; "" if they
	// had no name.
	Actor     Actor
	ActorName string
	Action    string
	Outcome   string
	ObjectID  uuid.UUID // zero if it is no one thing
	// ObjectName is what it was called.
	ObjectName string
	// Before and After are the object, without its secrets; nil where it is not.
	Before, After json.RawMessage
}

// WriteAudit notes what changes no row: a sign-in, or a refusal. Who acts is in
// ctx; details may be nil.
func (s *Store) WriteAudit(ctx context.Context, action, outcome string, objectID uuid.UUID, objectName string, details map[string]string) error {
	a := ActorFrom(ctx)
	a.Reading = false
	p := db.WriteAuditParams{Action: action, Outcome: outcome, ObjectID: nullable(objectID), ObjectName: objectName}
	if details != nil {
		p.Details = jsonMap(details)
	}
	return do(WithActor(ctx, a), "audit of "+action, func(ctx context.Context) error { return s.q.WriteAudit(ctx, p) })
}

// AuditFilter chooses entries. What is empty chooses all.
type AuditFilter struct {
	Actor string // their name, in any case
	// Action is one, or all that begin with it and a dot.
	Action string
	Object string // name, in any case, or id
	// Outcome is done or refused.
	Outcome      string
	Since, Until *time.Time
	// Before is the id that those wanted are below; zero is the newest.
	Before int64
	Limit  int
}

// Audit returns entries, the newest first.
func (s *Store) Audit(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	if f.Before == 0 {
		f.Before = math.MaxInt64
	}
	rows, err := one(ctx, "audit log", func(ctx context.Context) ([]db.AuditLog, error) {
		return s.q.AuditEntries(ctx, db.AuditEntriesParams{
			BeforeID: f.Before, Actor: f.Actor, Action: f.Action, Object: f.Object, Outcome: f.Outcome,
			Since: f.Since, Until: f.Until, Page: int32(f.Limit),
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	list := make([]AuditEntry, 0, len(rows))
	for _, r := range rows {
		list = append(list, AuditEntry{
			ID: r.ID, At: r.At, ActorName: r.ActorName,
			Actor:  Actor{Kind: ActorKind(r.ActorKind), UserID: r.ActorID.UUID, TokenID: r.TokenID.UUID, Remote: r.Remote, RequestID: r.RequestID},
			Action: r.Action, Outcome: r.Outcome, ObjectID: r.ObjectID.UUID, ObjectName: r.ObjectName, Before: r.Before, After: r.After,
		})
	}
	return list, nil
}
