package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Limits are what a template says of its workspaces. Zero is never, for ever, or
// no limit.
type Limits struct {
	// DefaultTTL is how long a workspace runs after its start unless its owner says
	// otherwise, and MaxTTL how long at most, however much it is used.
	DefaultTTL, MaxTTL time.Duration
	// ActivityBump is how long use puts the stop off.
	ActivityBump time.Duration
	NoAutostart  bool
	// DormantAfter is how long a workspace may go unused before it is stopped and
	// marked, and DeleteAfter how long after that it is deleted.
	DormantAfter, DeleteAfter time.Duration
	// Cost is what each workspace takes of its owner's quota.
	Cost int
	// Deprecated is why the template is not to be used any more; empty unless that is so.
	Deprecated string
}

// Schedule is what is to change of when a workspace starts and stops by itself; nil
// stays.
type Schedule struct {
	// Autostart is empty for never.
	Autostart *string
	// TTL is how long it runs after its start: for ever if it is zero, and what the
	// template says if it is negative.
	TTL *time.Duration
}

// Upkeep is what decides on the starts and stops of a workspace that nobody asks
// for.
type Upkeep struct {
	ID, OwnerID, TemplateID, VersionID uuid.UUID
	Phase                              Phase
	// Held is that a provisioner may have a newer state.
	Held           bool
	Autostart      string
	AutostartSetAt time.Time
	// TTL is nil for what the template says.
	TTL           *time.Duration
	ExtendedUntil *time.Time
	// UsedAt is when a person last made, started or woke it, and LastActiveAt when
	// somebody last used it; nil is never.
	UsedAt       time.Time
	LastActiveAt *time.Time
	DormantAt    *time.Time // nil unless it is
	// Problem is why what was due could not be done.
	Problem string
	// Transition, BuiltAt and FinishedAt are the last build's.
	Transition Transition
	BuiltAt    time.Time
	FinishedAt *time.Time
	Limits     Limits
}

func upkeepFrom(u db.WorkspaceUpkeep) Upkeep {
	out := Upkeep{
		ID: u.ID, OwnerID: u.OwnerID, TemplateID: u.TemplateID.UUID, VersionID: u.TemplateVersionID, Phase: Phase(u.Phase), Held: u.Held,
		Autostart: u.Autostart, AutostartSetAt: u.AutostartSetAt, ExtendedUntil: u.ExtendedUntil,
		UsedAt: u.UsedAt, LastActiveAt: u.LastActiveAt, DormantAt: u.DormantAt, Problem: u.UpkeepProblem,
		Transition: Transition(u.Transition), BuiltAt: u.BuiltAt, FinishedAt: u.FinishedAt,
		Limits: limitsFrom(db.TemplateLimitsRow{
			DefaultTtl: u.DefaultTtl, MaxTtl: u.MaxTtl, ActivityBump: u.ActivityBump, Autostart: u.MayAutostart,
			DormantAfter: u.DormantAfter, DeleteAfter: u.DeleteAfter, Cost: u.Cost, Deprecated: u.Deprecated,
		}),
	}
	if u.Ttl.Valid {
		d := time.Duration(u.Ttl.Int32) * time.Second
		out.TTL = &d
	}
	return out
}

func limitsFrom(r db.TemplateLimitsRow) Limits {
	return Limits{
		DefaultTTL: inSeconds(r.DefaultTtl), MaxTTL: inSeconds(r.MaxTtl), ActivityBump: inSeconds(r.ActivityBump), NoAutostart: !r.Autostart,
		DormantAfter: inSeconds(r.DormantAfter), DeleteAfter: inSeconds(r.DeleteAfter), Cost: int(r.Cost), Deprecated: r.Deprecated,
	}
}

func inSeconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func toSeconds(d time.Duration) int32 { return int32(d / time.Second) }

// Upkeep lists the workspaces that may need something without anybody asking,
// with the database's clock.
func (s *Store) Upkeep(ctx context.Context) ([]Upkeep, time.Time, error) {
	now, err := one(ctx, "clock", s.q.Now)
	if err != nil {
		return nil, time.Time{}, err
	}
	rows, err := one(ctx, "upkeep of workspaces", func(ctx context.Context) ([]db.WorkspaceUpkeep, error) { return s.q.UpkeepCandidates(ctx, Nobody) })
	list := make([]Upkeep, 0, len(rows))
	for _, u := range rows {
		list = append(list, upkeepFrom(u))
	}
	return list, now, err
}

// UpkeepOf returns the same of some workspaces that templates make.
func (s *Store) UpkeepOf(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Upkeep, error) {
	rows, err := one(ctx, "upkeep of workspaces", func(ctx context.Context) ([]db.WorkspaceUpkeep, error) { return s.q.UpkeepOf(ctx, ids) })
	of := make(map[uuid.UUID]Upkeep, len(rows))
	for _, u := range rows {
		of[u.ID] = upkeepFrom(u)
	}
	return of, err
}

// CreateDueBuild is CreateBuild for what nobody asked for: decide sees what makes
// it due, too, as it is now, so that of several coordinators one does it. A nil
// build marks the workspace dormant at a time instead.
func (s *Store) CreateDueBuild(ctx context.Context, id uuid.UUID, at time.Time, decide func(WorkspaceState, Upkeep) (*NewBuild, error)) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		st, err := lockWorkspace(ctx, q, id)
		if err != nil {
			return err
		}
		rows, err := q.UpkeepOf(ctx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return ErrNotFound
		}
		n, err := decide(st, upkeepFrom(rows[0]))
		if err != nil {
			return err
		}
		if n == nil {
			return q.MarkDormant(ctx, db.MarkDormantParams{ID: id, At: &at})
		}
		if _, err := moveWorkspace(ctx, q, st, *n); err != nil {
			return err
		}
		return q.ForgetExtension(ctx, id)
	})
	if err != nil {
		return fmt.Errorf("store: upkeep of workspace %s: %w", id, kind(err))
	}
	return nil
}

// SetUpkeepProblem notes why what was due could not be done.
func (s *Store) SetUpkeepProblem(ctx context.Context, id uuid.UUID, problem string) error {
	return do(ctx, "problem of workspace "+id.String(), func(ctx context.Context) error {
		return s.q.SetUpkeepProblem(ctx, db.SetUpkeepProblemParams{ID: id, Problem: problem})
	})
}

// SetSchedule changes when a workspace starts and stops by itself; ErrChanged unless
// it is at one of the versions.
func (s *Store) SetSchedule(ctx context.Context, id uuid.UUID, n Schedule, at Versions) error {
	return s.touch(ctx, "schedule workspace", id, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		if n.Autostart != nil {
			if err := q.SetAutostart(ctx, db.SetAutostartParams{ID: id, Autostart: *n.Autostart}); err != nil {
				return 0, err
			}
		}
		if n.TTL != nil {
			p := db.SetTTLParams{ID: id, Ttl: pgtype.Int4{Int32: toSeconds(max(0, *n.TTL)), Valid: *n.TTL >= 0}}
			if err := q.SetTTL(ctx, p); err != nil {
				return 0, err
			}
		}
		return 1, nil
	})
}

// ExtendWorkspace has a running workspace not stop before a time; ErrNotFound if
// it is not running, ErrChanged unless it is at one of the versions.
func (s *Store) ExtendWorkspace(ctx context.Context, id uuid.UUID, until time.Time, at Versions) error {
	return s.touch(ctx, "extend workspace", id, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		return q.ExtendWorkspace(ctx, db.ExtendWorkspaceParams{ID: id, Until: &until})
	})
}

// WakeWorkspace ends that a workspace is dormant: it counts as used now. ErrChanged
// unless it is at one of the versions.
func (s *Store) WakeWorkspace(ctx context.Context, id uuid.UUID, at Versions) error {
	return s.touch(ctx, "wake workspace", id, at, func(ctx context.Context, q *db.Queries) (int64, error) { return q.WakeWorkspace(ctx, id) })
}

// TemplateLimits returns what a template says of its workspaces, and the template's
// revision.
func (s *Store) TemplateLimits(ctx context.Context, templateID uuid.UUID) (Limits, int64, error) {
	r, err := one(ctx, "limits of template "+templateID.String(), func(ctx context.Context) (db.TemplateLimitsRow, error) {
		return s.q.TemplateLimits(ctx, templateID)
	})
	return limitsFrom(r), r.Version, err
}

// SetTemplateLimits sets what a template says of its workspaces, from now on and
// also of those that are there; ErrChanged unless it is at one of the versions.
func (s *Store) SetTemplateLimits(ctx context.Context, templateID uuid.UUID, l Limits, at Versions) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		t, err := q.LockTemplate(ctx, templateID)
		if err != nil {
			return err
		}
		if err := at.Check(t.Version); err != nil {
			return err
		}
		return q.SetTemplateLimits(ctx, db.SetTemplateLimitsParams{
			ID: templateID, DefaultTtl: toSeconds(l.DefaultTTL), MaxTtl: toSeconds(l.MaxTTL), ActivityBump: toSeconds(l.ActivityBump),
			Autostart: !l.NoAutostart, DormantAfter: toSeconds(l.DormantAfter), DeleteAfter: toSeconds(l.DeleteAfter), Cost: int32(l.Cost), Deprecated: l.Deprecated,
		})
	})
	if err != nil {
		return fmt.Errorf("store: limits of template %s: %w", templateID, kind(err))
	}
	return nil
}
