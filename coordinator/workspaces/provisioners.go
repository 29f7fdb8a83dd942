package workspaces

import (
	"context"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
)

// CreateProvisionerKey makes a key and returns the secret text in its token,
// which nobody knows afterwards: see auth.ProvisionerToken. store.ErrConflict
// if the name is taken.
func (s *Service) CreateProvisionerKey(ctx context.Context, name string, tags map[string]string, creator, organizationID uuid.UUID) (store.ProvisionerKey, string, error) {
	if !templateName.MatchString(name) {
		return store.ProvisionerKey{}, "", badInput("key name %q: use up to 32 lower-case letters, digits and dashes", name)
	}
	text, hash := secret.New()
	k, err := s.store.CreateProvisionerKey(ctx, name, hash, tags, creator, organizationID)
	return k, text, err
}

// ProvisionerKeys lists the keys that are not revoked, by name.
func (s *Service) ProvisionerKeys(ctx context.Context) ([]store.ProvisionerKey, error) {
	return s.store.ProvisionerKeys(ctx)
}

// RevokeProvisionerKey ends a key, by name, and the sessions it opened.
func (s *Service) RevokeProvisionerKey(ctx context.Context, name string) error {
	id, err := s.store.RevokeProvisionerKey(ctx, name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sess := range s.sessions {
		if sess.key == id {
			sess.end("the provisioner key was revoked")
		}
	}
	return nil
}

// Provisioner is a provisioner, and whether it is connected.
type Provisioner struct {
	store.Provisioner
	Connected bool
}

// Provisioners lists those seen within a week, by name.
func (s *Service) Provisioners(ctx context.Context) ([]Provisioner, error) {
	rows, err := s.store.Provisioners(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Provisioner, 0, len(rows))
	for _, p := range rows {
		list = append(list, Provisioner{p, s.sessions[p.ID] != nil})
	}
	return list, err
}
