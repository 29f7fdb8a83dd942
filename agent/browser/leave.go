package browser

import (
	"sync"

	"github.com/aditmesh/adit/pkg/terminal"
)

// maxLeft is how many channels that have ended are known: pages ask soon.
const maxLeft = 1024

// departures tells pages how much was taken of channels that they left because they
// were silent, so that they type the rest elsewhere, once. A page may ask by another
// conversation than the one that the channel was of. IDs are the pages' secrets.
type departures struct {
	mu    sync.Mutex // guards what follows
	open  map[string]*channel
	asked map[string]*page // who wants to know when a channel has ended
	taken map[string]int64
	order []string // of taken, the oldest first
}

func newDepartures() *departures {
	return &departures{open: make(map[string]*channel), asked: make(map[string]*page), taken: make(map[string]int64)}
}

// opened notes a channel, and reports whether it can be left by that ID.
func (d *departures) opened(id string, c *channel) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ended := d.taken[id]
	if id == "" || len(id) > terminal.MaxID || ended || d.open[id] != nil {
		return false
	}
	d.open[id] = c
	return true
}

// ended notes how much was taken of a channel that has ended.
func (d *departures) ended(id string, taken int64) {
	d.mu.Lock()
	p := d.asked[id]
	delete(d.asked, id)
	delete(d.open, id)
	if len(d.order) == maxLeft {
		delete(d.taken, d.order[0])
		d.order = d.order[1:]
	}
	d.taken[id], d.order = taken, append(d.order, id)
	d.mu.Unlock()
	if p != nil {
		p.say(terminal.Signal{Kind: terminal.SignalLeft, ID: id, Rx: taken})
	}
}

// leave has a channel take nothing more, and a page be told how much it has.
func (d *departures) leave(id string, p *page) {
	d.mu.Lock()
	if c := d.open[id]; c != nil {
		d.asked[id] = p
		c.end(errLeft)
		d.mu.Unlock()
		return
	}
	taken, known := d.taken[id]
	d.mu.Unlock()
	if !known {
		taken = -1
	}
	p.say(terminal.Signal{Kind: terminal.SignalLeft, ID: id, Rx: taken})
}
