package workspaces

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// MaxState bounds a state: ten thousand resources take some 20 MiB.
const MaxState = 64 << 20

// bound is what a sealed state is good for, and nothing else.
func bound(s store.SealedState) []byte {
	return fmt.Appendf(nil, "adit state\x00%s\x00%s\x00%d", s.WorkspaceID, s.Lineage, s.Serial)
}

// seal fills in what is kept of a state.
func (s *Service) seal(n *store.SealedState, data []byte) {
	n.ID, n.KeyID, n.Sealed = uuid.New(), s.cfg.Keys.Current(), s.cfg.Keys.Seal(data, bound(*n))
}

// open returns a state's data.
func (s *Service) open(n store.SealedState) ([]byte, error) {
	data, err := s.cfg.Keys.Open(n.KeyID, n.Sealed, bound(n))
	if err != nil {
		return nil, fmt.Errorf("workspaces: state %d of workspace %s: %w", n.Serial, n.WorkspaceID, err)
	}
	return data, nil
}

// State returns a workspace's current state as Terraform writes it;
// store.ErrNotFound if it has none.
func (s *Service) State(ctx context.Context, workspaceID uuid.UUID) ([]byte, error) {
	sealed, err := s.store.CurrentState(ctx, workspaceID)
	if err != nil {
		return nil, err
	}
	return s.open(sealed)
}

// PushState makes data a workspace's state, for the desperate, and ends that
// the workspace waits for a lost provisioner's. Without force it has to descend
// from the current one, or to be it. A build under way is in its way.
func (s *Service) PushState(ctx context.Context, workspaceID uuid.UUID, data []byte, force bool) error {
	var head struct {
		Version, Serial uint64
		Lineage         string
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Version == 0 || head.Lineage == "" {
		return badInput("this is no Terraform state: it has no version or no lineage")
	}
	if len(data) > MaxState {
		return badInput("the state is larger than %d MiB", MaxState>>20)
	}
	n := store.SealedState{WorkspaceID: workspaceID, Lineage: head.Lineage, Serial: head.Serial}
	s.seal(&n, data)
	_, err := s.store.SaveState(ctx, n, func(w store.WorkspaceState, current *store.SealedState, _ *store.Job) (store.StateVerdict, error) {
		if w.Phase == store.PhaseDeleted {
			return store.StateVerdict{}, store.ErrNotFound
		}
		if err := free(w); err != nil && !errors.As(err, new(*StateHeld)) {
			return store.StateVerdict{}, err
		}
		same, err := s.same(current, n, data)
		if err != nil && !force {
			return store.StateVerdict{}, err
		}
		if !same && !force && !descends(current, n) {
			return store.StateVerdict{}, &NoDescent{Lineage: current.Lineage, Serial: current.Serial}
		}
		return store.StateVerdict{Store: !same, Release: true}, nil
	})
	return err
}

// NoDescent is a state that does not descend from the current one, of which it
// tells the lineage and serial.
type NoDescent struct {
	Lineage string
	Serial  uint64
}

func (e *NoDescent) Error() string {
	return fmt.Sprintf("the state does not follow the current one, serial %d of lineage %s; pull that and start from it, or force it", e.Serial, e.Lineage)
}

// Unwrap makes it match store.ErrConflict.
func (e *NoDescent) Unwrap() error { return store.ErrConflict }

// descends reports whether a state follows the current one: the same lineage, a
// higher serial. The first state follows nothing.
func descends(current *store.SealedState, n store.SealedState) bool {
	return current == nil || current.Lineage == n.Lineage && n.Serial > current.Serial
}

// same reports whether a state is the current one.
func (s *Service) same(current *store.SealedState, n store.SealedState, data []byte) (bool, error) {
	if current == nil || current.Lineage != n.Lineage || current.Serial != n.Serial {
		return false, nil
	}
	kept, err := s.open(*current)
	return bytes.Equal(kept, data), err
}

// saveState keeps a state that a provisioner brought, and reports whether it is
// the current one now. One that does not descend is put aside.
func (s *Service) saveState(ctx context.Context, job store.Job, workspaceID uuid.UUID, lineage string, serial uint64, data []byte) (bool, error) {
	n := store.SealedState{WorkspaceID: workspaceID, JobID: job.ID, Lineage: lineage, Serial: serial}
	s.seal(&n, data)
	v, err := s.store.SaveState(ctx, n, func(w store.WorkspaceState, current *store.SealedState, j *store.Job) (store.StateVerdict, error) {
		// Of a job that was given up this is what the workspace waited for.
		release := j.Status.Over() && w.Holder != nil && w.Holder.JobID == j.ID
		same, err := s.same(current, n, data)
		if err != nil {
			s.log.ErrorContext(ctx, "a state cannot be opened", "workspace", workspaceID, "err", err)
		}
		return store.StateVerdict{Store: !same, Aside: !same && (!json.Valid(data) || !descends(current, n)), Release: release}, nil
	})
	if err == nil && v.Aside {
		s.log.WarnContext(ctx, "a state does not descend from the one kept, and is put aside", "workspace", workspaceID, "job", job.ID, "lineage", lineage, "serial", serial)
	}
	return !v.Aside, err
}

// Reseal seals every state that is sealed with an older key with the first one,
// what host keys derive from, git credentials, and what forges sign with, and returns how
// many states there were. After it the older keys can be forgotten.
func (s *Service) Reseal(ctx context.Context) (int, error) {
	if err := s.resealHostKeys(ctx); err != nil {
		return 0, err
	}
	if err := s.resealGit(ctx); err != nil {
		return 0, err
	}
	if err := s.resealFollowed(ctx); err != nil {
		return 0, err
	}
	return s.store.Reseal(ctx, s.cfg.Keys.Current(), func(old store.SealedState) ([]byte, error) {
		data, err := s.open(old)
		if err != nil {
			return nil, err
		}
		return s.cfg.Keys.Seal(data, bound(old)), nil
	})
}
