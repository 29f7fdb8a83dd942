package workspaces

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// NameTaken is a name that somebody has a workspace of already.
type NameTaken struct{ Name string }

func (e *NameTaken) Error() string {
	return fmt.Sprintf("there is a workspace %s already among those of its owner; choose another name", e.Name)
}

// Unwrap makes it match store.ErrConflict.
func (e *NameTaken) Unwrap() error { return store.ErrConflict }

// errRuns is a workspace whose agents are still the old owner's.
var errRuns = badInput("the workspace has to be stopped: its next start makes it the new owner's, agents and all")

// Transfer gives a workspace to whom it is offered to, and returns the agents whose
// sessions are to end. What templates make has to be stopped, so that nothing runs
// that was made for somebody else.
func (s *Service) Transfer(ctx context.Context, n store.NewOwner) ([]uuid.UUID, error) {
	name := n.Name
	agents, err := s.store.TransferWorkspace(ctx, n, func(now store.WorkspaceState) error {
		if name == "" {
			name = now.Name
		}
		if now.External {
			return nil
		}
		if err := free(now); err != nil {
			return err
		}
		if now.Phase != store.PhaseStopped {
			return errRuns
		}
		return nil
	})
	return agents, nameTaken(err, name)
}

// nameTaken says of a conflict that it is about a name, unless it is about more.
func nameTaken(err error, name string) error {
	var over *store.OverQuota
	var underway *Underway
	var held *StateHeld
	if !errors.Is(err, store.ErrConflict) || errors.As(err, &over) || errors.As(err, &underway) || errors.As(err, &held) {
		return err
	}
	return &NameTaken{Name: name}
}
