package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Errors of instances.
var (
	// ErrUsed is a proof that was accepted before.
	ErrUsed = errors.New("was used before")
	// ErrAmbiguous is an instance that several agents are to run on.
	ErrAmbiguous = errors.New("several agents are to run there")
)

// InstanceAgent is an agent that is known by the instance it runs on.
type InstanceAgent struct {
	ID, WorkspaceID uuid.UUID
	Name            string
	// Secret is its build's, from which its token is derived.
	Secret []byte
}

// AgentOfInstance finds the agent that a template says proves to run on an
// instance: ErrNotFound if there is none (yet), or it is stopped.
func (s *Store) AgentOfInstance(ctx context.Context, auth, instance string) (InstanceAgent, error) {
	what := fmt.Sprintf("agent on instance %s of %s", instance, auth)
	rows, err := one(ctx, what, func(ctx context.Context) ([]db.AgentsOfInstanceRow, error) {
		return s.q.AgentsOfInstance(ctx, db.AgentsOfInstanceParams{Auth: auth, InstanceID: instance})
	})
	switch {
	case err != nil:
		return InstanceAgent{}, err
	case len(rows) == 0:
		return InstanceAgent{}, fmt.Errorf("store: %s: %w", what, ErrNotFound)
	case len(rows) > 1:
		return InstanceAgent{}, fmt.Errorf("store: %s: %w", what, ErrAmbiguous)
	}
	return InstanceAgent{ID: rows[0].ID, WorkspaceID: rows[0].WorkspaceID, Name: rows[0].Name, Secret: rows[0].AgentSecret}, nil
}

// UseIdentity notes that a proof is used, until it is worth nothing anyway: ErrUsed
// if it was before. Of several at once one uses it.
func (s *Store) UseIdentity(ctx context.Context, digest []byte, until time.Time) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		n, err := q.UseIdentity(ctx, db.UseIdentityParams{Digest: digest, ExpiresAt: until})
		if err == nil && n == 0 {
			err = ErrUsed
		}
		if err != nil {
			return err
		}
		return q.PruneIdentities(ctx)
	})
	if err != nil {
		return fmt.Errorf("store: use proof of identity %x: %w", digest[:min(len(digest), 4)], kind(err))
	}
	return nil
}
