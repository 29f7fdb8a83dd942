package workspaces

import (
	"context"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
)

// CreateProvisionerKey makes a key and returns the secret text in its token,
// which nobody knows afterwards: see auth.ProvisionerToken. store.ErrConflict
// if the organization has one of that name.
func (s *Service) CreateProvisionerKey(ctx context.Context, name string, tags map[string]string, creator, organizationID uuid.UUID) (store.ProvisionerKey, string, error) {
	if !templateName.MatchString(name) {
		return store.ProvisionerKey{}, "", badInput("key name %q: use up to 32 lower-case letters, digits and dashes", name)
	}
	text, hash := secret.New()
	k, err := s.store.CreateProvisionerKey(ctx, name, hash, tags, creator, organizationID)
	return k, text, err
}

// RevokeProvisionerKey ends a key, and the sessions it opened.
func (s *Service) RevokeProvisionerKey(ctx context.Context, id uuid.UUID) error {
	if err := s.store.RevokeProvisionerKey(ctx, id); err != nil {
		return err
	}
	s.KeyRevoked(id)
	return nil
}

// KeyRevoked ends the sessions that a key opened here.
func (s *Service) KeyRevoked(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		if sess.key == id {
			sess.end("the provisioner key was revoked")
		}
	}
}

// Provisioner is a provisioner, and whether it is connected, to any coordinator.
type Provisioner struct {
	store.Provisioner
	Connected bool
}

// Provisioners lists those seen within a week that work for some organizations, by
// name and id.
func (s *Service) Provisioners(ctx context.Context, of store.Scope, p store.Page) ([]Provisioner, error) {
	rows, now, err := s.store.Provisioners(ctx, of, p)
	list := make([]Provisioner, 0, len(rows))
	for _, p := range rows {
		list = append(list, Provisioner{p, isHere(p, now, s.cfg.Lease)})
	}
	return list, err
}
