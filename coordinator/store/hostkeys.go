package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// SealedSecret is a secret of the deployment, sealed with a key that the store
// has not.
type SealedSecret struct {
	KeyID  string
	Sealed []byte
}

// HostKeyRoot returns what host keys derive from; ErrNotFound if there is nothing
// yet.
func (s *Store) HostKeyRoot(ctx context.Context) (SealedSecret, error) {
	r, err := one(ctx, "root of host keys", func(ctx context.Context) (db.HostKeyRootRow, error) { return s.q.HostKeyRoot(ctx) })
	return SealedSecret{KeyID: r.KeyID, Sealed: r.Sealed}, err
}

// KeepHostKeyRoot keeps what host keys derive from, unless there is one, and
// returns the one that is kept.
func (s *Store) KeepHostKeyRoot(ctx context.Context, n SealedSecret) (SealedSecret, error) {
	if err := do(ctx, "keep root of host keys", func(ctx context.Context) error {
		return s.q.InsertHostKeyRoot(ctx, db.InsertHostKeyRootParams{KeyID: n.KeyID, Sealed: n.Sealed})
	}); err != nil {
		return SealedSecret{}, err
	}
	return s.HostKeyRoot(ctx)
}

// ResealHostKeyRoot replaces the root by itself, sealed anew, unless somebody else
// has.
func (s *Store) ResealHostKeyRoot(ctx context.Context, oldKeyID string, n SealedSecret) error {
	return do(ctx, "reseal root of host keys", func(ctx context.Context) error {
		return s.q.ResealHostKeyRoot(ctx, db.ResealHostKeyRootParams{KeyID: n.KeyID, Sealed: n.Sealed, OldKeyID: oldKeyID})
	})
}

// SetHostKey notes the public half of an agent's host key.
func (s *Store) SetHostKey(ctx context.Context, agentID uuid.UUID, key string) error {
	return do(ctx, "host key of agent "+agentID.String(), func(ctx context.Context) error {
		return s.q.SetHostKey(ctx, db.SetHostKeyParams{ID: agentID, HostKey: key})
	})
}
