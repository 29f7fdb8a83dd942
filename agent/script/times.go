package script

import (
	"context"
	"fmt"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// lookAgain is how long a wait goes on without a look at the clock: clocks are set,
// and machines sleep.
const lookAgain = time.Minute

// runAtTimes runs a script at its times until ctx ends. It never runs beside
// itself: a time that comes while it runs is missed.
func (r *Runner) runAtTimes(ctx context.Context, p placed) {
	schedule, err := ParseSchedule(p.RunOn)
	if err != nil {
		r.refuse(p, sdk.ScriptsFailed, err.Error())
		return
	}
	r.running.Go(func() {
		for {
			now := time.Now()
			next := schedule.Next(now)
			if next.IsZero() {
				r.refuse(p, sdk.ScriptsFailed, "its time never comes")
				return
			}
			r.board.change(p.place, func(s *sdk.ScriptStatus) { s.NextAt = &next })
			if !waitUntil(ctx, next) {
				return
			}
			r.run(ctx, p, nil)
			if missed := missed(schedule, next, time.Now()); missed > 0 {
				r.shipper.say(p.Name, "warn", fmt.Sprintf("%d of its times came while it ran, and were left out", missed))
			}
		}
	})
}

// missed counts the times after the one at which a run began until it ended.
func missed(s Schedule, began, ended time.Time) (n int) {
	const enough = 1000
	for at := s.Next(began); !at.IsZero() && !at.After(ended) && n < enough; at = s.Next(at) {
		n++
	}
	return n
}

// waitUntil reports whether a time came before ctx ended.
func waitUntil(ctx context.Context, at time.Time) bool {
	for {
		left := time.Until(at.Round(0)) // by the clock on the wall
		if left <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(left, lookAgain)):
		}
	}
}
