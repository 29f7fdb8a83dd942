package script

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// A run that takes longer than until its next time is never run beside itself, and
// what it missed is not made up for.
func TestAScriptNeverRunsBesideItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := ParseSchedule("CRON_TZ=UTC * * * * *")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running, most, runs atomic.Int32
		var at []time.Time
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				next := s.Next(time.Now())
				if !waitUntil(ctx, next) {
					return
				}
				at = append(at, next)
				most.Store(max(most.Load(), running.Add(1)))
				runs.Add(1)
				time.Sleep(150 * time.Second)
				running.Add(-1)
				if n := missed(s, next, time.Now()); n != 2 {
					t.Errorf("missed %d", n)
				}
			}
		})
		time.Sleep(9*time.Minute + 45*time.Second)
		cancel()
		wg.Wait()
		if most.Load() != 1 || runs.Load() != 3 {
			t.Errorf("%d at once, %d runs at %v", most.Load(), runs.Load(), at)
		}
	})
}

func TestWhatRunsAtTimesSaysWhen(t *testing.T) {
	c := newCoordinator()
	r := start(t, c,
		sdk.Script{Name: "nightly", RunOn: "CRON_TZ=UTC 0 4 * * *", Script: "exit 0"},
		sdk.Script{Name: "never", RunOn: "0 0 30 2 *", Script: "exit 0"})
	c.until(t, "when it runs next", func() bool { return c.status("nightly").NextAt != nil && c.status("never").State == sdk.ScriptsFailed })
	r.Stop()
	next := c.status("nightly").NextAt
	if next.UTC().Hour() != 4 || time.Until(*next) > 24*time.Hour || c.status("nightly").State != sdk.ScriptWaiting {
		t.Errorf("%+v", c.status("nightly"))
	}
}
