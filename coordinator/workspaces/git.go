package workspaces

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// SetGitCredential keeps what a user's agents show to an origin. Nobody but they
// can read the password again.
func (s *Service) SetGitCredential(ctx context.Context, userID uuid.UUID, origin, username, password string) error {
	c := store.GitCredential{UserID: userID, Origin: origin, Username: username}
	c.KeyID, c.Sealed = s.cfg.Keys.Current(), s.cfg.Keys.Seal([]byte(password), gitBound(c))
	return s.store.SetGitCredential(ctx, c)
}

// GitCredential returns what the owner of an agent's workspace has for an origin;
// store.ErrNotFound if they have nothing.
func (s *Service) GitCredential(ctx context.Context, agentID uuid.UUID, origin string) (username, password string, err error) {
	a, err := s.store.LiveAgent(ctx, agentID)
	if err != nil {
		return "", "", err
	}
	return s.gitCredential(ctx, a.OwnerID, origin)
}

// gitCredential returns what a user has for an origin; store.ErrNotFound if they have
// nothing.
func (s *Service) gitCredential(ctx context.Context, userID uuid.UUID, origin string) (username, password string, err error) {
	c, err := s.store.UseGitCredential(ctx, userID, origin)
	if err != nil {
		return "", "", err
	}
	text, err := s.cfg.Keys.Open(c.KeyID, c.Sealed, gitBound(c))
	if err != nil {
		return "", "", fmt.Errorf("workspaces: git credential for %s: %w", origin, err)
	}
	return c.Username, string(text), nil
}

// gitBound is what a sealed password is good for, and nothing else.
func gitBound(c store.GitCredential) []byte {
	return fmt.Appendf(nil, "adit git credential\x00%s\x00%s\x00%s", c.UserID, c.Origin, c.Username)
}

// resealGit is Reseal for git credentials.
func (s *Service) resealGit(ctx context.Context) error {
	keys := s.cfg.Keys
	return s.store.ResealGitCredentials(ctx, keys.Current(), func(c store.GitCredential) ([]byte, error) {
		text, err := keys.Open(c.KeyID, c.Sealed, gitBound(c))
		if err != nil {
			return nil, fmt.Errorf("workspaces: git credential for %s: %w", c.Origin, err)
		}
		return keys.Seal(text, gitBound(c)), nil
	})
}
