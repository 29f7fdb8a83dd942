// Package app runs the applications of a workspace's template and sees whether they
// are well.
//
// [Run] starts the command of each that has one, again whenever it ends, with a
// pause that grows; and checks each that has a check. It reports the states of all
// whenever one changes, until its context ends, and with it what it started.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// A command that ended is started again after a pause that doubles: one that
	// ends at once must not be what the workspace is busy with. One that ran for
	// steadyAfter starts from the beginning.
	pauseMin    = time.Second
	pauseMax    = time.Minute
	steadyAfter = time.Minute

	// settled is how long a command without a check runs until it counts as well.
	settled = 2 * time.Second

	// defaultInterval and defaultThreshold are those of checks that say nothing.
	defaultInterval  = 5 * time.Second
	defaultThreshold = 3

	// maxCheck bounds one check.
	maxCheck = 10 * time.Second
)

// State is how an app is doing.
type State struct {
	Slug, State, Why string
}

// Config configures [Run].
type Config struct {
	Apps []sdk.App
	// Shell runs commands in Dir with Env.
	Shell string
	Dir   string
	Env   []string
	// Start starts them; nil starts them as they are.
	Start family.Starter
	// Report takes the states of all apps, in their order, whenever one changes.
	Report func([]State)
	// Logger gets starts, ends and changes, and what commands print; nil discards.
	Logger *slog.Logger
}

// Run runs and checks apps until ctx ends.
func Run(ctx context.Context, cfg Config) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &supervisor{cfg: cfg, states: make([]State, len(cfg.Apps))}
	for i, a := range cfg.Apps {
		s.states[i] = State{Slug: a.Slug, State: sdk.AppStarting}
		if a.Command == "" && a.HealthCheck == nil {
			s.states[i].State = sdk.AppUnchecked
		}
	}
	s.mu.Lock()
	s.reportLocked()
	s.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, a := range cfg.Apps {
		if a.Command != "" {
			wg.Go(func() { s.keepRunning(ctx, i) })
		}
		if a.HealthCheck != nil {
			wg.Go(func() { s.keepChecking(ctx, i) })
		}
	}
}

type supervisor struct {
	cfg Config

	mu     sync.Mutex // guards what follows, and orders reports
	states []State
}

// set notes how an app is doing.
func (s *supervisor) set(i int, state, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := State{Slug: s.states[i].Slug, State: state, Why: why}
	if next == s.states[i] {
		return
	}
	if next.State != s.states[i].State {
		s.cfg.Logger.Info("app", "slug", next.Slug, "state", next.State, "why", next.Why)
	}
	s.states[i] = next
	s.reportLocked()
}

func (s *supervisor) reportLocked() {
	if len(s.states) > 0 {
		s.cfg.Report(append([]State(nil), s.states...))
	}
}

// keepRunning runs an app's command again and again.
func (s *supervisor) keepRunning(ctx context.Context, i int) {
	a := s.cfg.Apps[i]
	for pause := pauseMin; ; {
		began := time.Now()
		well := time.AfterFunc(settled, func() {
			if a.HealthCheck == nil {
				s.set(i, sdk.AppHealthy, "")
			}
		})
		err := s.run(ctx, a.Slug, a.Command)
		well.Stop()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= steadyAfter {
			pause = pauseMin
		}
		s.set(i, sdk.AppUnhealthy, fmt.Sprintf("the command ended: %v; it is started again", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
}

// keepChecking checks an app at its interval. One failure is none: it has to fail a
// few times in a row.
func (s *supervisor) keepChecking(ctx context.Context, i int) {
	a := s.cfg.Apps[i]
	interval, threshold := defaultInterval, defaultThreshold
	if n := a.HealthCheck.IntervalSeconds; n > 0 {
		interval = time.Duration(n) * time.Second
	}
	if n := a.HealthCheck.Threshold; n > 0 {
		threshold = n
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for failures := 0; ; {
		limited, cancel := context.WithTimeout(ctx, min(interval, maxCheck))
		err := s.check(limited, *a.HealthCheck)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if failures++; err == nil {
			failures = 0
			s.set(i, sdk.AppHealthy, "")
		} else if failures >= threshold {
			s.set(i, sdk.AppUnhealthy, err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
