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

// statesKept is how many states of a workspace are kept, for the desperate.
const statesKept = 20

// SealedState is a Terraform state, sealed with a key that the store has not.
type SealedState struct {
	ID, WorkspaceID uuid.UUID
	JobID           uuid.UUID // zero if a person pushed it
	Lineage         string
	Serial          uint64
	KeyID           string
	Sealed          []byte
	CreatedAt       time.Time
}

func stateFrom(r db.WorkspaceState) SealedState {
	return SealedState{
		ID: r.ID, WorkspaceID: r.WorkspaceID, JobID: r.JobID.UUID, Lineage: r.Lineage, Serial: uint64(r.Serial),
		KeyID: r.KeyID, Sealed: r.Sealed, CreatedAt: r.CreatedAt,
	}
}

// CurrentState returns the state that a build starts from; ErrNotFound if the
// workspace has none.
func (s *Store) CurrentState(ctx context.Context, workspaceID uuid.UUID) (SealedState, error) {
	r, err := one(ctx, "state of workspace "+workspaceID.String(), func(ctx context.Context) (db.WorkspaceState, error) {
		return s.q.CurrentState(ctx, workspaceID)
	})
	if err != nil {
		return SealedState{}, err
	}
	return stateFrom(r), nil
}

// StateVerdict is what becomes of a state that arrived.
type StateVerdict struct {
	// Store keeps it; Aside does not make it the current one.
	Store, Aside bool
	// Release ends that the workspace waits for a provisioner.
	Release bool
}

// SaveState keeps a state as decide says, which sees the workspace, the current
// state (nil if there is none) and the job it comes from (nil if from a person).
func (s *Store) SaveState(ctx context.Context, n SealedState, decide func(WorkspaceState, *SealedState, *Job) (StateVerdict, error)) (StateVerdict, error) {
	var v StateVerdict
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		st, err := lockAnyWorkspace(ctx, q, n.WorkspaceID)
		if err != nil {
			return err
		}
		var current *SealedState
		switch r, err := q.CurrentState(ctx, n.WorkspaceID); {
		case err == nil:
			c := stateFrom(r)
			current = &c
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		var job *Job
		if n.JobID != uuid.Nil {
			j, err := q.LockJob(ctx, n.JobID)
			if err != nil {
				return err
			}
			from := jobFrom(j)
			job = &from
		}
		if v, err = decide(st, current, job); err != nil {
			return err
		}
		if v.Store {
			if err := insertState(ctx, q, n, v.Aside, current); err != nil {
				return err
			}
		}
		if !v.Release || st.Holder == nil {
			return nil
		}
		return q.MoveWorkspace(ctx, db.MoveWorkspaceParams{ID: st.ID, Phase: string(st.Phase)})
	})
	if err != nil {
		return StateVerdict{}, fmt.Errorf("store: save state of workspace %s: %w", n.WorkspaceID, kind(err))
	}
	return v, nil
}

func insertState(ctx context.Context, q *db.Queries, n SealedState, aside bool, current *SealedState) error {
	if _, err := q.InsertState(ctx, db.InsertStateParams{
		ID: n.ID, WorkspaceID: n.WorkspaceID, JobID: nullable(n.JobID), Lineage: n.Lineage, Serial: int64(n.Serial),
		KeyID: n.KeyID, Sealed: n.Sealed, Aside: aside,
	}); err != nil {
		return err
	}
	prune := db.PruneStatesParams{WorkspaceID: n.WorkspaceID, Keep: statesKept, Current: n.ID}
	if aside && current != nil {
		prune.Current = current.ID
	}
	return q.PruneStates(ctx, prune)
}

// Reseal gives each state that is sealed with another key than keyID to seal,
// and keeps what that returns. It returns how many there were.
func (s *Store) Reseal(ctx context.Context, keyID string, seal func(SealedState) ([]byte, error)) (int, error) {
	n := 0
	var after uuid.UUID
	for {
		rows, err := one(ctx, "states to reseal", func(ctx context.Context) ([]db.WorkspaceState, error) {
			return s.q.StatesSealedOtherwise(ctx, db.StatesSealedOtherwiseParams{KeyID: keyID, After: after})
		})
		if err != nil || len(rows) == 0 {
			return n, err
		}
		for _, r := range rows {
			after = r.ID
			sealed, err := seal(stateFrom(r))
			if err != nil {
				return n, fmt.Errorf("store: reseal state %s: %w", r.ID, err)
			}
			if err := do(ctx, "reseal state "+r.ID.String(), func(ctx context.Context) error {
				return s.q.ResealState(ctx, db.ResealStateParams{ID: r.ID, KeyID: keyID, Sealed: sealed, OldKeyID: r.KeyID})
			}); err != nil {
				return n, err
			}
			n++
		}
	}
}
