package workspaces

import (
	"context"

	"github.com/google/uuid"
)

// CancelJob ends a job: one that is queued at once, one that is running when
// Terraform has ended, which with force is killed. ErrOver if the job
// is over.
func (s *Service) CancelJob(ctx context.Context, jobID uuid.UUID, force bool) error {
	err := s.step(ctx, jobID, cancelAsked{why: "canceled"})
	if err == nil && force {
		err = s.step(ctx, jobID, forced{})
	}
	return err
}
