package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Nobody is whom workspaces belong to that are prepared and not claimed yet. The
// migration that made it says what it can do, which is nothing.
var Nobody = uuid.MustParse("00000000-0000-4000-8000-00000000ad17")

// Pool says how many workspaces of a template are kept ready.
type Pool struct {
	TemplateID, OrganizationID uuid.UUID
	Template                   string // its name
	// Organization is its name, in the list of those that fail.
	Organization string
	// VersionID is the template's active one; zero if there is none.
	VersionID uuid.UUID
	Size      int
	// Schedule is when they are; empty is always.
	Schedule   string
	Parameters map[string]string
	// Failures is how often in a row one could not be made, FailedAt when that was
	// last, and Problem why.
	Failures int
	FailedAt *time.Time
	Problem  string
}

func poolFrom(r db.PoolOfRow) Pool {
	return Pool{
		TemplateID: r.ID, OrganizationID: r.OrganizationID, Template: r.TemplateName, VersionID: r.VersionID, Size: int(r.Size), Schedule: r.Schedule,
		Parameters: mapFrom(r.Parameters), Failures: int(r.Failures), FailedAt: r.FailedAt, Problem: r.Problem,
	}
}

// Prepared is a workspace that nobody has claimed yet, and its last build.
type Prepared struct {
	ID    uuid.UUID
	Phase Phase
	// Held is that a provisioner may have a newer state.
	Held       bool
	Transition Transition
	VersionID  uuid.UUID
	Parameters map[string]string
	Number     int // of the build
	BuiltAt    time.Time
	FinishedAt *time.Time
	// Error is why the build did not succeed, in one line.
	Error string
	// DailyCost is what its resources cost.
	DailyCost int
	Agents    []Agent
}

// Pools lists them, with the database's clock.
func (s *Store) Pools(ctx context.Context) ([]Pool, time.Time, error) {
	now, err := one(ctx, "clock", s.q.Now)
	if err != nil {
		return nil, now, err
	}
	rows, err := one(ctx, "pools", s.q.Pools)
	list := make([]Pool, 0, len(rows))
	for _, r := range rows {
		list = append(list, poolFrom(db.PoolOfRow(r)))
	}
	return list, now, err
}

// FailingPools lists those that cannot be filled.
func (s *Store) FailingPools(ctx context.Context) ([]Pool, error) {
	rows, err := one(ctx, "failing pools", s.q.FailingPools)
	list := make([]Pool, 0, len(rows))
	for _, r := range rows {
		list = append(list, Pool{
			TemplateID: r.ID, Template: r.TemplateName, Organization: r.OrganizationName, Size: int(r.Size), Failures: int(r.Failures), FailedAt: r.FailedAt, Problem: r.Problem,
		})
	}
	return list, err
}

// Pool finds a template's pool, with what is in it; ErrNotFound if it never had one.
func (s *Store) Pool(ctx context.Context, templateID uuid.UUID) (p Pool, members []Prepared, err error) {
	err = do(ctx, "pool of template "+templateID.String(), func(ctx context.Context) error {
		p, members, err = pool(ctx, s.q, templateID)
		return err
	})
	return p, members, err
}

func pool(ctx context.Context, q *db.Queries, templateID uuid.UUID) (Pool, []Prepared, error) {
	r, err := q.PoolOf(ctx, templateID)
	if err != nil {
		return Pool{}, nil, err
	}
	rows, err := q.PoolMembers(ctx, db.PoolMembersParams{OwnerID: Nobody, TemplateID: nullable(templateID)})
	if err != nil {
		return Pool{}, nil, err
	}
	members := make([]Prepared, 0, len(rows))
	ids := make([]uuid.UUID, 0, len(rows))
	at := make(map[uuid.UUID]int, len(rows))
	for i, m := range rows {
		members = append(members, Prepared{
			ID: m.ID, Phase: Phase(m.Phase), Held: m.Held, Transition: Transition(m.Transition), VersionID: m.TemplateVersionID,
			Parameters: mapFrom(m.Parameters), Number: int(m.BuildNumber), BuiltAt: m.BuiltAt, FinishedAt: m.FinishedAt,
			Error: m.Error, DailyCost: int(m.DailyCost),
		})
		ids, at[m.ID] = append(ids, m.ID), i
	}
	agents, err := q.AgentsOfWorkspaces(ctx, ids)
	for _, a := range agents {
		m := &members[at[a.WorkspaceID]]
		m.Agents = append(m.Agents, agentFrom(a))
	}
	return poolFrom(r), members, err
}

// SetPool says how many workspaces of a template are kept ready, and forgets what
// failed; ErrChanged unless the template is at one of the versions.
func (s *Store) SetPool(ctx context.Context, p Pool, at Versions) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		t, err := q.LockTemplate(ctx, p.TemplateID)
		if err != nil {
			return err
		}
		if err := at.Check(t.Version); err != nil {
			return err
		}
		return q.SetPool(ctx, db.SetPoolParams{ID: p.TemplateID, Size: int32(p.Size), Schedule: p.Schedule, Parameters: jsonMap(p.Parameters)})
	})
	if err != nil {
		return fmt.Errorf("store: pool of template %s: %w", p.TemplateID, kind(err))
	}
	return nil
}

// PoolStep is what is done of a pool at once.
type PoolStep struct {
	// Make are first builds of new workspaces, with their names.
	Make map[string]NewBuild
	// Delete are builds that delete workspaces, by their ids.
	Delete map[uuid.UUID]NewBuild
	// Problem is why one could not be made, which counts as a failure; empty is none.
	// Well forgets those there were.
	Problem string
	Well    bool
}

// StepPool does what decide, which sees a pool as it is, says; of several that step
// a pool at once, each sees what the one before it has done.
func (s *Store) StepPool(ctx context.Context, templateID uuid.UUID, decide func(Pool, []Prepared, time.Time) PoolStep) (done PoolStep, err error) {
	err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if _, err := q.LockPool(ctx, templateID); err != nil {
			return err
		}
		p, members, err := pool(ctx, q, templateID)
		if err != nil {
			return err
		}
		now, err := q.Now(ctx)
		if err != nil {
			return err
		}
		done = decide(p, members, now)
		return writePoolStep(ctx, q, templateID, done)
	})
	if err != nil {
		return done, fmt.Errorf("store: step of the pool of template %s: %w", templateID, kind(err))
	}
	return done, nil
}

func writePoolStep(ctx context.Context, q *db.Queries, templateID uuid.UUID, step PoolStep) error {
	if step.Well {
		if err := q.PoolIsWell(ctx, templateID); err != nil {
			return err
		}
	}
	if step.Problem != "" {
		if err := q.PoolFailed(ctx, db.PoolFailedParams{ID: templateID, Problem: step.Problem}); err != nil {
			return err
		}
	}
	for id, n := range step.Delete {
		// Whoever claims it at this moment has it locked, and gets it.
		w, err := q.LockFreeWorkspace(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && w.OwnerID != Nobody {
			continue
		}
		if err != nil {
			return err
		}
		st, err := lockWorkspace(ctx, q, id)
		if err != nil {
			return err
		}
		if st.Last == nil || st.Last.FinishedAt == nil {
			continue // it moves again
		}
		if _, err := moveWorkspace(ctx, q, st, n); err != nil {
			return err
		}
	}
	for name, n := range step.Make {
		w, err := q.InsertPrepared(ctx, db.InsertPreparedParams{OwnerID: Nobody, Name: name, TemplateID: templateID, Phase: string(n.Phase)})
		if err != nil {
			return err
		}
		if _, err := insertBuild(ctx, q, w.ID, n); err != nil {
			return err
		}
	}
	return nil
}

// Claimer is who wants a workspace of those that are prepared.
type Claimer struct {
	OwnerID, TemplateID uuid.UUID
	// Name is what it is called from now on.
	Name string
}

// ClaimPrepared gives somebody a workspace that is prepared: the first that decide,
// which sees each with what its agents' tokens derive from, has a build for. One that
// has succeeded before it begins leaves the workspace running, as it is. ErrNotFound
// is that there is none, ErrConflict that the owner has one of that name, an
// *OverQuota that they have no room for it.
func (s *Store) ClaimPrepared(ctx context.Context, c Claimer, decide func(Prepared, []byte) (NewBuild, bool)) (Workspace, Build, error) {
	var id uuid.UUID
	var made Build
	// Most templates have no pool, and those who make workspaces need not wait for
	// each other.
	p, members, err := s.Pool(ctx, c.TemplateID)
	if err != nil {
		return Workspace{}, Build{}, err
	}
	if len(members) == 0 {
		return Workspace{}, Build{}, fmt.Errorf("store: a prepared workspace: %w", ErrNotFound)
	}
	err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		// Users before workspaces, as everywhere.
		cost, err := q.TemplateLimits(ctx, c.TemplateID)
		if err != nil {
			return err
		}
		if err := spend(ctx, q, c.OwnerID, p.OrganizationID, cost.Cost); err != nil {
			return err
		}
		_, members, err := pool(ctx, q, c.TemplateID)
		if err != nil {
			return err
		}
		r, err := q.QuotaOf(ctx, db.QuotaOfParams{UserID: c.OwnerID, OrganizationID: p.OrganizationID})
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := usageFrom(r).Afford(int(cost.Cost) + m.DailyCost); err != nil {
				return err
			}
			if made, err = claim(ctx, q, c, m, decide); err == nil {
				id = m.ID
				return nil
			}
			if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		return ErrNotFound
	})
	if err != nil {
		return Workspace{}, Build{}, fmt.Errorf("store: claim a workspace for %s: %w", c.Name, kind(err))
	}
	w, err := s.WorkspaceByID(ctx, id)
	return w, made, err
}

// claim claims one workspace, if it is still to be had.
func claim(ctx context.Context, q *db.Queries, c Claimer, m Prepared, decide func(Prepared, []byte) (NewBuild, bool)) (Build, error) {
	w, err := q.LockFreeWorkspace(ctx, m.ID)
	if err != nil {
		return Build{}, err
	}
	st, err := lockAnyWorkspace(ctx, q, m.ID)
	if err != nil {
		return Build{}, err
	}
	if w.OwnerID != Nobody || st.Last == nil || st.Last.Number != m.Number {
		return Build{}, pgx.ErrNoRows // it has changed since it was looked at
	}
	secret, err := q.SecretOfBuild(ctx, st.Last.ID)
	if err != nil {
		return Build{}, err
	}
	n, ok := decide(m, secret)
	if !ok {
		return Build{}, pgx.ErrNoRows
	}
	if err := q.GiveWorkspace(ctx, db.GiveWorkspaceParams{ID: m.ID, OwnerID: c.OwnerID, Name: c.Name}); err != nil {
		return Build{}, err
	}
	made, err := moveWorkspace(ctx, q, st, n)
	if err != nil || n.Phase != PhaseRunning {
		return made, err
	}
	if err := q.FinishBuildAtOnce(ctx, db.FinishBuildAtOnceParams{BuildID: made.ID, Resources: st.Last.Resources}); err != nil {
		return made, err
	}
	if err := q.AgentsFollowBuild(ctx, db.AgentsFollowBuildParams{WorkspaceID: m.ID, BuildID: nullable(made.ID)}); err != nil {
		return made, err
	}
	r, err := q.LastBuild(ctx, m.ID)
	return buildFrom(r), err
}
