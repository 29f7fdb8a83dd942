package script

import (
	"context"
	"fmt"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// A service that fails is started again after defaultRestartAfter, then after
	// twice as long each time, up to maxRestartAfter: what cannot run at all is not
	// what the workspace is busy with.
	defaultRestartAfter = time.Second
	maxRestartAfter     = time.Minute

	// healthyAfter is how long a service must have run for its next failure to
	// count as the first again.
	healthyAfter = time.Minute
)

// serve runs a service until it ends well or ctx ends. began is called once, when
// it runs for the first time, or cannot.
func (r *Runner) serve(ctx context.Context, p placed, began func()) {
	pause := r.cfg.RestartAfter
	for first := true; ; first = false {
		at := time.Now()
		told := !first
		tell := func() {
			if !told {
				told = true
				began()
			}
		}
		state := r.run(ctx, p, tell)
		tell()
		if state == sdk.ScriptsSucceeded || ctx.Err() != nil {
			return
		}
		if time.Since(at) > healthyAfter {
			pause = r.cfg.RestartAfter
		}
		r.shipper.say(p.Name, "warn", fmt.Sprintf("starts again in %v", pause))
		next := time.Now().Add(pause)
		r.board.change(p.place, func(s *sdk.ScriptStatus) { s.State, s.NextAt = sdk.ScriptRestarting, &next })
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, max(maxRestartAfter, r.cfg.RestartAfter))
	}
}
