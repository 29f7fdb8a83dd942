package loadtest

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// AgentsConfig is a test with agents that do nothing.
type AgentsConfig struct {
	Config
	// Count is how many agents.
	Count int
	// Hold is how long they stay once all are connected. A coordinator that is
	// restarted meanwhile is measured by how soon all are back.
	Hold time.Duration
	// Connecting is how many are let dial for the first time at once. Zero means
	// all.
	Connecting int
	// Settle is how long all may take to be connected, at first and after an
	// outage. Zero means 2 minutes.
	Settle time.Duration
}

const defaultSettle = 2 * time.Minute

// AgentsResult is what came of it.
type AgentsResult struct {
	Agents int `json:"agents"`
	// Make is how long each workspace took to be made.
	Make Spread `json:"make"`
	// Connect is how long each agent took from its first dial to its welcome,
	// ConnectSeconds until all were.
	Connect        Spread  `json:"connect"`
	ConnectSeconds float64 `json:"connect_seconds"`
	HeldSeconds    float64 `json:"held_seconds"`
	// Outages are the times that agents lost their sessions.
	Outages []Outage `json:"outages"`
	// Missing is how many agents were not connected in the end, and Errors what
	// sessions and dials ended with before they succeeded.
	Missing int            `json:"missing"`
	Errors  map[string]int `json:"errors"`
}

// Outage is a time in which agents were away.
type Outage struct {
	Agents  int     `json:"agents"`
	Seconds float64 `json:"seconds" doc:"from the first that broke until all were back"`
}

// Agents connects agents and holds them.
func Agents(ctx context.Context, c AgentsConfig) (r AgentsResult, err error) {
	if c.Settle == 0 {
		c.Settle = defaultSettle
	}
	r.Agents = c.Count
	list, took, err := c.make(ctx, c.Count)
	r.Make = took
	defer func() {
		if cleaned := c.remove(ctx, names(list)); err == nil {
			err = cleaned
		}
	}()
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := newFleet(c, list)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	began := time.Now()
	running.Go(func() { f.run(ctx) })
	err = f.settle(ctx, "connecting agents", c.Settle)
	r.Connect, r.ConnectSeconds = f.took.spread(), time.Since(began).Seconds()
	if err == nil {
		held := time.Now()
		if err = f.hold(ctx, c.Hold); err == nil {
			err = f.settle(ctx, "waiting for agents to be back", c.Settle)
		}
		r.HeldSeconds = time.Since(held).Seconds()
	}
	r.Missing, r.Outages = f.end()
	r.Errors = f.errs.counts()
	return r, err
}

// fleet is agents of which it is known how many are connected.
type fleet struct {
	cfg  AgentsConfig
	list []made
	took clock
	errs tally

	mu      sync.Mutex // guards what follows
	up      int
	changed chan struct{} // closed with each change, and replaced
	full    bool          // all have been up since the last outage
	broken  int           // in this outage
	since   time.Time
	outages []Outage
}

func newFleet(c AgentsConfig, list []made) *fleet {
	return &fleet{cfg: c, list: list, changed: make(chan struct{}), outages: []Outage{}}
}

// run runs the agents until ctx is done.
func (f *fleet) run(ctx context.Context) {
	first := make(chan struct{}, max(f.cfg.Connecting, 0))
	if f.cfg.Connecting <= 0 {
		first = make(chan struct{}, len(f.list))
	}
	hc := newHTTPClient()
	var agents sync.WaitGroup
	for _, m := range f.list {
		select {
		case first <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		release := sync.OnceFunc(func() { <-first })
		n := newNode(f.cfg.Config, m.token, hc)
		began := time.Now()
		timed := sync.OnceFunc(func() { f.took.add(time.Since(began)) })
		up := false
		n.welcomed = func(s *session) {
			release()
			timed()
			up = true
			f.move(+1)
			s.self("192.0.2.1:41641", "10.0.0.1:41641")
		}
		n.ended = func(err error) {
			release()
			f.errs.add(err)
			if up {
				up = false
				f.move(-1)
			}
		}
		agents.Go(func() { n.run(ctx) })
	}
	agents.Wait()
}

// move notes that an agent came or went.
func (f *fleet) move(by int) {
	if f.moved(by) && f.cfg.Progress != nil {
		f.cfg.Progress("all agents are back", len(f.list), len(f.list))
	}
}

// moved does, and reports whether that ended an outage.
func (f *fleet) moved(by int) (back bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up += by
	switch {
	case by < 0 && f.full:
		f.full, f.since, f.broken = false, time.Now(), 1
	case by < 0:
		f.broken++
	case f.up == len(f.list) && !f.full:
		f.full = true
		if !f.since.IsZero() {
			f.outages = append(f.outages, Outage{Agents: f.broken, Seconds: time.Since(f.since).Seconds()})
			back = true
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return back
}

func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up
}

// settle waits until all are connected.
func (f *fleet) settle(ctx context.Context, stage string, within time.Duration) error {
	stop := f.cfg.follow(stage, len(f.list), f.count)
	defer stop()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		f.mu.Lock()
		up, changed := f.up, f.changed
		f.mu.Unlock()
		if up == len(f.list) {
			return nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return fmt.Errorf("load test: %d of %d agents are connected after %v", up, len(f.list), within)
		case <-ctx.Done():
			return fmt.Errorf("load test: %w", ctx.Err())
		}
	}
}

// hold lets time pass.
func (f *fleet) hold(ctx context.Context, d time.Duration) error {
	stop := f.cfg.follow("holding agents", len(f.list), f.count)
	defer stop()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("load test: %w", ctx.Err())
	}
}

func (f *fleet) end() (missing int, outages []Outage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.list) - f.up, f.outages
}
