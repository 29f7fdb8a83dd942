package daemon

import (
	"sync"
	"time"
)

// Kinds of events.
const (
	EventNames  = "names"  // what may be reached has changed
	EventOpened = "opened" // there is a tunnel to a peer
	EventFailed = "failed" // there is none to be had
	EventIdle   = "idle"   // there is none any more, for nobody used it
)

// Event is something that happened in a daemon.
type Event struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	// Peer is the full name of the agent that it is about.
	Peer  string `json:"peer,omitempty"`
	Error string `json:"error,omitempty"`
	// Count is how many agents may be reached.
	Count int `json:"count,omitempty"`
}

// maxUnread is how many events a program may leave unread before some are lost.
const maxUnread = 256

// events passes on what happens to who listens. The zero value is ready for use.
type events struct {
	mu        sync.Mutex
	listeners map[chan Event]bool // guarded by mu
}

func (e *events) publish(ev Event) {
	ev.At = time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.listeners {
		select {
		case c <- ev:
		default:
		}
	}
}

// listen returns what happens from now on, until stop.
func (e *events) listen() (c <-chan Event, stop func()) {
	all := make(chan Event, maxUnread)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners == nil {
		e.listeners = make(map[chan Event]bool)
	}
	e.listeners[all] = true
	return all, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.listeners, all)
	}
}
