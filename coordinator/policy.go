package coordinator

import (
	"context"
	"fmt"

	"github.com/aditmesh/adit/pkg/policy"
)

// loadPolicy has the policy hold that is the newest.
func (s *Server) loadPolicy(ctx context.Context) error {
	now, err := s.store.NewestPolicy(ctx)
	if err != nil {
		return fmt.Errorf("load the policy: %w", err)
	}
	if now.Version == 0 {
		s.hub.SetPolicy(nil)
		return nil
	}
	p, err := policy.Parse([]byte(now.Text))
	if err != nil {
		// Another version of adit could read it. What it forbids is not known here.
		s.cfg.Logger.ErrorContext(ctx, "the policy cannot be read, so nobody reaches anything; mend it with 'adit policy edit'", "version", now.Version, "err", err)
		p = policy.Nothing()
	}
	s.hub.SetPolicy(p)
	return nil
}
