package path

import (
	"container/heap"
	"sync"
	"time"
)

// agenda says which peer's machine is due next. Its methods may be called
// concurrently; one goroutine takes what is due.
type agenda struct {
	// news has a token when something is due earlier than was thought.
	news chan struct{}

	mu    sync.Mutex // guards what follows
	dates dates
}

// date is when a peer is due, and where it stands in the agenda.
type date struct {
	peer *Peer
	at   time.Time
	slot int // in dates; -1 is nowhere
}

func newAgenda() *agenda { return &agenda{news: make(chan struct{}, 1)} }

// add has p due at a time, unless it is due earlier anyway or not known.
func (a *agenda) add(p *Peer, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &p.date
	switch {
	case d.peer == nil: // removed, or never added
		return
	case d.slot < 0:
		d.at = at
		heap.Push(&a.dates, d)
	case at.Before(d.at):
		d.at = at
		heap.Fix(&a.dates, d.slot)
	default:
		return
	}
	if d.slot == 0 {
		signal(a.news)
	}
}

// enter makes p known; before, it is never due.
func (a *agenda) enter(p *Peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.date = date{peer: p, slot: -1}
}

// remove has p never due again.
func (a *agenda) remove(p *Peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.date.peer != nil && p.date.slot >= 0 {
		heap.Remove(&a.dates, p.date.slot)
	}
	p.date.peer = nil
}

// take returns a peer that is due, which is due no more; or nil, and when the next
// will be, the zero time if none is to come.
func (a *agenda) take(now time.Time) (*Peer, time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.dates) == 0 {
		return nil, time.Time{}
	}
	if at := a.dates[0].at; at.After(now) {
		return nil, at
	}
	return heap.Pop(&a.dates).(*date).peer, time.Time{}
}

// dates is a heap by time.
type dates []*date

func (d dates) Len() int           { return len(d) }
func (d dates) Less(i, j int) bool { return d[i].at.Before(d[j].at) }

func (d dates) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].slot, d[j].slot = i, j
}

func (d *dates) Push(x any) {
	e := x.(*date)
	e.slot = len(*d)
	*d = append(*d, e)
}

func (d *dates) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	e.slot = -1
	return e
}
