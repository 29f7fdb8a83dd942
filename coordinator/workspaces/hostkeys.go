package workspaces

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/coordinator/store"
)

// hostKeyRootSize is that of the secret which all host keys derive from.
const hostKeyRootSize = 32

// boundHostKeys is what the sealed root of host keys is good for, and nothing else.
const boundHostKeys = "adit host keys"

// errUnsealed is that the root of host keys cannot be had.
var errUnsealed = errors.New("workspaces: open the sealed root of host keys")

func (s *Service) sealHostKeys(root []byte) store.SealedSecret {
	return store.SealedSecret{KeyID: s.cfg.Keys.Current(), Sealed: s.cfg.Keys.Seal(root, []byte(boundHostKeys))}
}

func (s *Service) openHostKeys(sealed store.SealedSecret) ([]byte, error) {
	root, err := s.cfg.Keys.Open(sealed.KeyID, sealed.Sealed, []byte(boundHostKeys))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsealed, err)
	}
	return root, nil
}

// hostSeed returns the seed of an agent's SSH host key. It is the same over all
// builds of its workspace and for no other agent, and the agent alone is told.
func (s *Service) hostSeed(ctx context.Context, workspaceID, agentID uuid.UUID) ([]byte, error) {
	sealed, err := s.store.HostKeyRoot(ctx)
	if errors.Is(err, store.ErrNotFound) {
		root := make([]byte, hostKeyRootSize)
		rand.Read(root)
		sealed, err = s.store.KeepHostKeyRoot(ctx, s.sealHostKeys(root))
	}
	if err != nil {
		return nil, err
	}
	root, err := s.openHostKeys(sealed)
	if err != nil {
		return nil, err
	}
	info := fmt.Sprintf("adit ssh host key v1\x00%s\x00%s", workspaceID, agentID)
	seed, err := hkdf.Key(sha256.New, root, nil, info, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("workspaces: derive the host key of agent %s: %w", agentID, err)
	}
	return seed, nil
}

// resealHostKeys seals the root of host keys with the first key.
func (s *Service) resealHostKeys(ctx context.Context) error {
	old, err := s.store.HostKeyRoot(ctx)
	if errors.Is(err, store.ErrNotFound) || err == nil && old.KeyID == s.cfg.Keys.Current() {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := s.openHostKeys(old)
	if err != nil {
		return err
	}
	return s.store.ResealHostKeyRoot(ctx, old.KeyID, s.sealHostKeys(root))
}

// publicHostKey is what clients know an agent with this seed by, as
// authorized_keys has it.
func publicHostKey(seed []byte) (string, error) {
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		return "", fmt.Errorf("workspaces: public host key: %w", err)
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))), nil
}

// AgentHostKey returns the seed of an agent's host key, and notes what clients
// are to know it by. An agent that does not ask for it has another key, which
// nobody can vouch for, and so has one whose root cannot be opened: better than
// none at all.
func (s *Service) AgentHostKey(ctx context.Context, m Manifest, asked bool) ([]byte, error) {
	if !asked {
		return nil, s.store.SetHostKey(ctx, m.ID, "")
	}
	seed, err := s.hostSeed(ctx, m.WorkspaceID, m.ID)
	if errors.Is(err, errUnsealed) {
		s.log.ErrorContext(ctx, "host keys cannot be derived", "agent", m.ID, "err", err)
		return nil, s.store.SetHostKey(ctx, m.ID, "")
	}
	if err != nil {
		return nil, err
	}
	public, err := publicHostKey(seed)
	if err != nil {
		return nil, err
	}
	return seed, s.store.SetHostKey(ctx, m.ID, public)
}
