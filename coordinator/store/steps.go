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

// StepJob moves a job: in one transaction it reads the job with its build and
// workspace, lets decide change the state, and writes that. An error of
// decide's leaves everything as it was. It returns the agents that were
// removed.
//
// Rows are locked in one order everywhere: workspace, then job.
func (s *Store) StepJob(ctx context.Context, id uuid.UUID, decide func(*JobState) (Writes, error)) (st JobState, removed []uuid.UUID, err error) {
	return s.stepJob(ctx, id, false, decide)
}

// PlanJob is StepJob for what may cost: decide sees what else the owner spends, who
// stays locked, so that of two at once the second sees the first.
func (s *Store) PlanJob(ctx context.Context, id uuid.UUID, decide func(*JobState) (Writes, error)) (st JobState, removed []uuid.UUID, err error) {
	return s.stepJob(ctx, id, true, decide)
}

func (s *Store) stepJob(ctx context.Context, id uuid.UUID, spends bool, decide func(*JobState) (Writes, error)) (st JobState, removed []uuid.UUID, err error) {
	err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		var ws *db.Workspace
		wsID, err := q.WorkspaceOfJob(ctx, id)
		switch {
		case err == nil:
			if spends { // users before workspaces, as everywhere
				if _, err := q.LockOwnerOfWorkspace(ctx, wsID); err != nil {
					return err
				}
			}
			w, err := q.LockWorkspace(ctx, wsID)
			if err != nil {
				return err
			}
			ws = &w
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		j, err := q.LockJob(ctx, id)
		if err != nil {
			return err
		}
		if st, err = jobState(ctx, q, j, ws); err != nil {
			return err
		}
		if spends && ws != nil {
			if err := addSpent(ctx, q, st.Build, *ws); err != nil {
				return err
			}
		}
		w, err := decide(&st)
		if err != nil {
			return err
		}
		removed, err = writeStep(ctx, q, st, w)
		return err
	})
	if err != nil {
		return JobState{}, nil, fmt.Errorf("store: step of job %s: %w", id, kind(err))
	}
	return st, removed, nil
}

// TakeJob hands the oldest queued job to a provisioner that has its tags and a
// free slot; ErrNotFound if there is none, ErrBusy if there was one that
// somebody is changing. Several at once each take another.
func (s *Store) TakeJob(ctx context.Context, p ProvisionerLoad, decide func(*JobState) error) (st JobState, err error) {
	err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		n, err := q.CountRunning(ctx, nullable(p.ID))
		if err != nil {
			return err
		}
		if int(n) >= p.Slots {
			return ErrNotFound
		}
		skip := []uuid.UUID{} // null would match nothing
		for {
			j, err := q.LockNextJob(ctx, db.LockNextJobParams{Tags: jsonMap(p.Tags), Skip: skip, KeyID: nullable(p.KeyID)})
			if errors.Is(err, pgx.ErrNoRows) && len(skip) > 0 {
				return ErrBusy
			}
			if err != nil {
				return err
			}
			// Against the order of locks, hence without waiting: somebody who
			// has the workspace is about to change the job.
			ws, err := lockFreeWorkspace(ctx, q, j)
			if errors.Is(err, pgx.ErrNoRows) {
				skip = append(skip, j.ID)
				continue
			}
			if err != nil {
				return err
			}
			if st, err = jobState(ctx, q, j, ws); err != nil {
				return err
			}
			if err := decide(&st); err != nil {
				return err
			}
			_, err = writeStep(ctx, q, st, Writes{})
			return err
		}
	})
	if err != nil {
		return JobState{}, fmt.Errorf("store: take a job for provisioner %s: %w", p.ID, kind(err))
	}
	return st, nil
}

// lockFreeWorkspace locks the workspace of a build's job unless it is locked.
func lockFreeWorkspace(ctx context.Context, q *db.Queries, j db.Job) (*db.Workspace, error) {
	if !j.BuildID.Valid {
		return nil, nil
	}
	id, err := q.WorkspaceOfJob(ctx, j.ID)
	if err != nil {
		return nil, err
	}
	w, err := q.LockFreeWorkspace(ctx, id)
	return &w, err
}

// addSpent adds what a build's owner spends on other workspaces.
func addSpent(ctx context.Context, q *db.Queries, b *BuildState, ws db.Workspace) error {
	cost, err := q.CostOfWorkspace(ctx, ws.ID)
	if err != nil {
		return err
	}
	r, err := q.QuotaOf(ctx, db.QuotaOfParams{UserID: ws.OwnerID, OrganizationID: ws.OrganizationID})
	if err != nil {
		return err
	}
	u := usageFrom(r)
	u.Used -= int(cost.Cost)
	b.Spent, b.TemplateCost = &u, int(cost.Cost-ws.DailyCost)
	return nil
}

func jobState(ctx context.Context, q *db.Queries, j db.Job, ws *db.Workspace) (JobState, error) {
	now, err := q.Now(ctx)
	if err != nil {
		return JobState{}, err
	}
	st := JobState{Job: jobFrom(j), Now: now}
	if ws == nil {
		return st, nil
	}
	b, err := q.Build(ctx, j.BuildID.UUID)
	if err != nil {
		return JobState{}, err
	}
	st.Build = &BuildState{
		ID: b.ID, WorkspaceID: ws.ID, Transition: Transition(b.Transition), FinishedAt: b.FinishedAt,
		Phase: Phase(ws.Phase), HeldBy: ws.StateHeldBy.UUID, Secret: b.AgentSecret,
		DailyCost: int(ws.DailyCost),
	}
	return st, nil
}

func writeStep(ctx context.Context, q *db.Queries, st JobState, w Writes) (removed []uuid.UUID, err error) {
	if err := q.WriteJob(ctx, writeJob(st.Job)); err != nil {
		return nil, err
	}
	if w.Found != nil {
		if err := q.SetVersionFound(ctx, db.SetVersionFoundParams{ID: st.Job.VersionID, Found: w.Found, LockFile: w.LockFile}); err != nil {
			return nil, err
		}
		if err := q.ActivateImported(ctx, st.Job.VersionID); err != nil {
			return nil, err
		}
	}
	b := st.Build
	if b == nil {
		return nil, nil
	}
	if err := q.FinishBuild(ctx, db.FinishBuildParams{ID: b.ID, FinishedAt: b.FinishedAt}); err != nil {
		return nil, err
	}
	if w.Resources != nil {
		if err := q.SetBuildResources(ctx, db.SetBuildResourcesParams{ID: b.ID, Resources: w.Resources}); err != nil {
			return nil, err
		}
	}
	if err := q.MoveWorkspace(ctx, db.MoveWorkspaceParams{ID: b.WorkspaceID, Phase: string(b.Phase), StateHeldBy: nullable(b.HeldBy)}); err != nil {
		return nil, err
	}
	if err := q.SetDailyCost(ctx, db.SetDailyCostParams{ID: b.WorkspaceID, DailyCost: int32(b.DailyCost)}); err != nil {
		return nil, err
	}
	for _, a := range w.Agents {
		if err := q.UpsertAgent(ctx, db.UpsertAgentParams{
			ID: a.ID, WorkspaceID: b.WorkspaceID, Name: a.Name, TokenHash: a.TokenHash, BuildID: nullable(b.ID), Manifest: a.Manifest,
			Auth: a.Auth, InstanceID: a.Instance, ConnectionTimeout: int32(a.ConnectionTimeout / time.Second),
		}); err != nil {
			return nil, err
		}
	}
	for id, instance := range w.Instances {
		if err := q.SetAgentInstance(ctx, db.SetAgentInstanceParams{ID: id, BuildID: nullable(b.ID), InstanceID: instance}); err != nil {
			return nil, err
		}
	}
	if w.LockOut {
		if err := q.LockOutAgents(ctx, b.WorkspaceID); err != nil {
			return nil, err
		}
	}
	if w.DropAgents {
		return q.DeleteAgentsOfOtherBuilds(ctx, db.DeleteAgentsOfOtherBuildsParams{WorkspaceID: b.WorkspaceID, BuildID: nullable(b.ID)})
	}
	return nil, nil
}
