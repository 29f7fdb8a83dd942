package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Faults that there must not be.
const (
	orphans    = "orphans"
	lostStates = "lost states"
	stuckJobs  = "stuck jobs"
)

// tally is what happened.
type tally struct {
	mu     sync.Mutex // guards the following
	counts map[string]int
	usual  time.Duration // how long builds take of late
	slow   time.Duration // the longest wait for a workspace after its build
}

func (y *tally) add(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what]++
}

// note takes note of how long a build took, and how long its workspace was not
// free after it.
func (y *tally) note(build, wait time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.usual = (7*y.usual + min(build, 3*y.usual)) / 8
	y.slow = max(y.slow, wait)
}

// moment is one in a build: a part of how long builds take.
func (y *tally) moment(part float64) time.Duration {
	y.mu.Lock()
	defer y.mu.Unlock()
	return time.Duration(part * float64(y.usual))
}

func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(y.counts)) {
		all = append(all, fmt.Sprintf("%d %s", y.counts[what], what))
	}
	for _, fault := range []string{orphans, lostStates, stuckJobs} {
		if y.counts[fault] == 0 {
			all = append(all, "0 "+fault)
		}
	}
	return fmt.Sprintf("%s; workspaces were free again within %v", strings.Join(all, ", "), y.slow.Round(100*time.Millisecond))
}

// fault is something that there must not be.
func (c *chaos) fault(kind, format string, args ...any) {
	c.t.Errorf(kind+": "+format, args...)
	c.tally.add(kind)
}
