package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Transition is what a build does to its workspace.
type Transition string

const (
	Start  Transition = "start"
	Stop   Transition = "stop"
	Delete Transition = "delete"
)

// Phase says what a workspace is at. coordinator/workspaces draws how it moves.
type Phase string

const (
	PhasePending  Phase = "pending"
	PhaseStarting Phase = "starting"
	PhaseRunning  Phase = "running"
	PhaseStopping Phase = "stopping"
	PhaseStopped  Phase = "stopped"
	PhaseDeleting Phase = "deleting"
	PhaseDeleted  Phase = "deleted"
	PhaseFailed   Phase = "failed"
)

// Build moves a workspace.
type Build struct {
	ID, WorkspaceID uuid.UUID
	Number          int
	Transition      Transition
	VersionID       uuid.UUID
	VersionNumber   int
	Parameters      map[string]string
	Initiator       string // user name
	Reason          string
	// Resources is a list of provisionerv1.Resource in protojson; nil until
	// they are known.
	Resources  []byte
	CreatedAt  time.Time
	FinishedAt *time.Time
	Job        Job
}

func buildFrom(r db.LastBuildRow) Build {
	b := r.Build
	return Build{
		ID: b.ID, WorkspaceID: b.WorkspaceID, Number: int(b.Number), Transition: Transition(b.Transition),
		VersionID: b.TemplateVersionID, VersionNumber: int(r.VersionNumber), Parameters: mapFrom(b.Parameters),
		Initiator: r.Initiator, Reason: b.Reason, Resources: b.Resources,
		CreatedAt: b.CreatedAt, FinishedAt: b.FinishedAt, Job: jobFrom(r.Job),
	}
}

// NewBuild is what a build starts from.
type NewBuild struct {
	Transition  Transition
	VersionID   uuid.UUID
	Parameters  map[string]string
	InitiatorID uuid.UUID
	Reason      string
	AgentSecret []byte
	// Phase is what the workspace is at from now on.
	Phase Phase
}

// WorkspaceState is what is known of a workspace when a change to it is
// decided. Nobody else changes it meanwhile.
type WorkspaceState struct {
	ID, TemplateID uuid.UUID
	Name           string
	External       bool
	Phase          Phase
	Version        int64
	// Last is the newest build; nil if there is none.
	Last *Build
	// Holder is the provisioner that may have a newer state than ours, while
	// no build is under way; nil if there is none.
	Holder *Holder
}

// Holder is a provisioner that may have a workspace's newest state.
type Holder struct {
	JobID uuid.UUID
	// Provisioner is its name.
	Provisioner string
	// Since is when it got the job.
	Since time.Time
}

// CreateBuild starts a build, if decide, which sees the workspace as it is,
// says which; ErrChanged unless the workspace is at one of the versions.
func (s *Store) CreateBuild(ctx context.Context, workspaceID uuid.UUID, at Versions, decide func(WorkspaceState) (NewBuild, error)) (Build, error) {
	var made Build
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		st, err := lockWorkspace(ctx, q, workspaceID)
		if err != nil {
			return err
		}
		if err := at.Check(st.Version); err != nil {
			return err
		}
		n, err := decide(st)
		if err != nil {
			return err
		}
		if made, err = moveWorkspace(ctx, q, st, n); err != nil || n.Transition != Start {
			return err
		}
		return q.UseWorkspace(ctx, workspaceID) // a person asked for it
	})
	if err != nil {
		return Build{}, fmt.Errorf("store: build of workspace %s: %w", workspaceID, kind(err))
	}
	return made, nil
}

// moveWorkspace starts a build of a workspace that is locked.
func moveWorkspace(ctx context.Context, q *db.Queries, st WorkspaceState, n NewBuild) (Build, error) {
	made, err := insertBuild(ctx, q, st.ID, n)
	if err != nil {
		return Build{}, err
	}
	var held uuid.UUID
	if st.Holder != nil {
		held = st.Holder.JobID
	}
	return made, q.MoveWorkspace(ctx, db.MoveWorkspaceParams{ID: st.ID, Phase: string(n.Phase), StateHeldBy: nullable(held)})
}

// CreateBuiltWorkspace makes a workspace from a template with its first build;
// ErrConflict if the owner has one of that name, an *OverQuota if they have no room
// for it.
func (s *Store) CreateBuiltWorkspace(ctx context.Context, ownerID, templateID uuid.UUID, name string, n NewBuild) (Workspace, Build, error) {
	var id uuid.UUID
	var made Build
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		t, err := q.LockTemplate(ctx, templateID) // it must not go meanwhile
		if err != nil {
			return err
		}
		if err := spend(ctx, q, ownerID, t.OrganizationID, t.Cost); err != nil {
			return err
		}
		w, err := q.InsertWorkspace(ctx, db.InsertWorkspaceParams{
			OwnerID: ownerID, Name: name, TemplateID: nullable(templateID), Phase: string(n.Phase), OrganizationID: DefaultOrganization, // or the template's
		})
		if err != nil {
			return err
		}
		id = w.ID
		made, err = insertBuild(ctx, q, w.ID, n)
		return err
	})
	if err != nil {
		return Workspace{}, Build{}, fmt.Errorf("store: create workspace %s: %w", name, kind(err))
	}
	w, err := s.WorkspaceByID(ctx, id)
	return w, made, err
}

func insertBuild(ctx context.Context, q *db.Queries, workspaceID uuid.UUID, n NewBuild) (Build, error) {
	b, err := q.InsertBuild(ctx, db.InsertBuildParams{
		WorkspaceID: workspaceID, Transition: string(n.Transition), TemplateVersionID: n.VersionID,
		Parameters: jsonMap(n.Parameters), InitiatorID: n.InitiatorID, Reason: n.Reason, AgentSecret: n.AgentSecret,
	})
	if err != nil {
		return Build{}, err
	}
	if _, err := q.InsertBuildJob(ctx, db.InsertBuildJobParams{BuildID: nullable(b.ID), TemplateVersionID: n.VersionID}); err != nil {
		return Build{}, err
	}
	r, err := q.LastBuild(ctx, workspaceID)
	if err != nil {
		return Build{}, err
	}
	return buildFrom(r), nil
}

// lockWorkspace locks a workspace that is not deleted and says how it is.
func lockWorkspace(ctx context.Context, q *db.Queries, id uuid.UUID) (WorkspaceState, error) {
	st, err := lockAnyWorkspace(ctx, q, id)
	if err == nil && st.Phase == PhaseDeleted {
		err = ErrNotFound
	}
	return st, err
}

// lockAnyWorkspace locks a workspace and says how it is.
func lockAnyWorkspace(ctx context.Context, q *db.Queries, id uuid.UUID) (WorkspaceState, error) {
	w, err := q.LockWorkspace(ctx, id)
	if err != nil {
		return WorkspaceState{}, err
	}
	st := WorkspaceState{ID: w.ID, TemplateID: w.TemplateID.UUID, Name: w.Name, External: w.External, Phase: Phase(w.Phase), Version: w.Version}
	r, err := q.LastBuild(ctx, id)
	switch {
	case err == nil:
		b := buildFrom(r)
		st.Last = &b
	case !errors.Is(err, pgx.ErrNoRows):
		return WorkspaceState{}, err
	}
	if w.StateHeldBy.Valid {
		h, err := q.HolderOfState(ctx, w.StateHeldBy.UUID)
		if err != nil {
			return WorkspaceState{}, err
		}
		st.Holder = &Holder{JobID: w.StateHeldBy.UUID, Provisioner: h.Provisioner}
		if h.StartedAt != nil {
			st.Holder.Since = *h.StartedAt
		}
	}
	return st, nil
}

// RenameWorkspace gives a workspace another name, if decide agrees;
// ErrConflict if the owner has one of that name, ErrChanged unless the workspace
// is at one of the versions.
func (s *Store) RenameWorkspace(ctx context.Context, id uuid.UUID, name string, at Versions, decide func(WorkspaceState) error) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		st, err := lockWorkspace(ctx, q, id)
		if err != nil {
			return err
		}
		if err := at.Check(st.Version); err != nil {
			return err
		}
		if err := decide(st); err != nil {
			return err
		}
		return q.RenameWorkspace(ctx, db.RenameWorkspaceParams{ID: id, Name: name})
	})
	if err != nil {
		return fmt.Errorf("store: rename workspace %s to %s: %w", id, name, kind(err))
	}
	return nil
}

// LastBuild returns a workspace's newest build; ErrNotFound if it has none.
func (s *Store) LastBuild(ctx context.Context, workspaceID uuid.UUID) (Build, error) {
	r, err := one(ctx, "last build of workspace "+workspaceID.String(), func(ctx context.Context) (db.LastBuildRow, error) {
		return s.q.LastBuild(ctx, workspaceID)
	})
	if err != nil {
		return Build{}, err
	}
	return buildFrom(r), nil
}

// BuildQuery says which builds, or versions, a list has. Zero fields let all pass.
type BuildQuery struct {
	Status     JobStatus
	Transition Transition
	// Before is the number of the last one that is known; zero is none.
	Before int
	// Max is how many there may be.
	Max int
}

// before is Before as a query has it.
func (b BuildQuery) before() int32 {
	if b.Before == 0 {
		return math.MaxInt32
	}
	return int32(b.Before)
}

// Builds lists a workspace's builds, newest first.
func (s *Store) Builds(ctx context.Context, workspaceID uuid.UUID, b BuildQuery) ([]Build, error) {
	rows, err := one(ctx, "builds of workspace "+workspaceID.String(), func(ctx context.Context) ([]db.BuildsOfWorkspaceRow, error) {
		return s.q.BuildsOfWorkspace(ctx, db.BuildsOfWorkspaceParams{
			WorkspaceID: workspaceID, Before: b.before(), Status: string(b.Status), Transition: string(b.Transition), Max: int32(b.Max),
		})
	})
	list := make([]Build, 0, len(rows))
	for _, r := range rows {
		list = append(list, buildFrom(db.LastBuildRow(r)))
	}
	return list, err
}

// BuildByNumber finds a build of a workspace.
func (s *Store) BuildByNumber(ctx context.Context, workspaceID uuid.UUID, number int) (Build, error) {
	r, err := one(ctx, fmt.Sprintf("build %d of workspace %s", number, workspaceID), func(ctx context.Context) (db.BuildByNumberRow, error) {
		return s.q.BuildByNumber(ctx, db.BuildByNumberParams{WorkspaceID: workspaceID, Number: int32(number)})
	})
	if err != nil {
		return Build{}, err
	}
	return buildFrom(db.LastBuildRow(r)), nil
}
