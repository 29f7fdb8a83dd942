package workspaces

import (
	"sync"

	"github.com/google/uuid"
)

// changes tells any number of followers of a log that there may be more of it,
// which they find in the store. Of all else that changes the event bus tells: lines
// are no events, for there are thousands of them a second and nobody resumes
// from one but who reads the log itself.
type changes struct {
	mu      sync.Mutex
	waiting map[uuid.UUID]*watch
}

// watch is one id's followers.
type watch struct {
	changed   chan struct{} // closed and replaced by each change
	followers int
}

func newChanges() *changes { return &changes{waiting: make(map[uuid.UUID]*watch)} }

// follow returns a function for the channel that the next change closes: it is
// to be asked for before the store is. Each follow has one stop.
func (c *changes) follow(id uuid.UUID) (next func() <-chan struct{}, stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[id]
	if w == nil {
		w = &watch{changed: make(chan struct{})}
		c.waiting[id] = w
	}
	w.followers++
	next = func() <-chan struct{} {
		c.mu.Lock()
		defer c.mu.Unlock()
		return w.changed
	}
	stop = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if w.followers--; w.followers == 0 {
			delete(c.waiting, id)
		}
	}
	return next, stop
}

func (c *changes) notify(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[id]; w != nil {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}
