package workspaces

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// AddAgentLog keeps lines of an agent's scripts and wakes those who follow.
func (s *Service) AddAgentLog(ctx context.Context, agentID uuid.UUID, lines []store.LogLine) error {
	if err := s.store.AddAgentLog(ctx, agentID, lines); err != nil {
		return err
	}
	s.changes.notify(agentID)
	return nil
}

// AgentLog returns at most 500 lines of an agent's scripts, from the one after
// seq on.
func (s *Service) AgentLog(ctx context.Context, agentID uuid.UUID, after int64) ([]store.LogLine, error) {
	return s.store.AgentLog(ctx, agentID, after, logPage)
}

// FollowAgentLog gives what an agent's scripts say to f, from the line after
// seq on, until f fails or ctx is done.
func (s *Service) FollowAgentLog(ctx context.Context, agentID uuid.UUID, after int64, f func([]store.LogLine) error) error {
	next, stop := s.changes.follow(agentID)
	defer stop()
	poll := time.NewTicker(logPoll)
	defer poll.Stop()
	for {
		changed := next()
		lines, err := s.AgentLog(ctx, agentID, after)
		if err != nil {
			return err
		}
		if len(lines) > 0 {
			if err := f(lines); err != nil {
				return err
			}
			after = lines[len(lines)-1].Seq
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-poll.C:
		}
	}
}
