package coordinator

import (
	"context"
	"time"
)

// rollUpEvery is how old the sums of hours and days may be. Minutes are read as
// they came.
const rollUpEvery = 5 * time.Minute

// rollUpStats keeps statistics rolled up until ctx is done. Each replica tries;
// what one has done is nothing new to the next.
func (s *Server) rollUpStats(ctx context.Context) {
	tick := time.NewTicker(rollUpEvery)
	defer tick.Stop()
	for {
		if err := s.store.RollUpStats(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("statistics are not rolled up; it will be tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
