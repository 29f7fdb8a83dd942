package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/aditmesh/adit/pkg/memory"
	"github.com/aditmesh/adit/tunnel"
)

const (
	// connectFor is how long packets wait for a tunnel to an agent that is there; one
	// that is not answers no sooner.
	connectFor = 10 * time.Second

	// maxOpen bounds the tunnels at a time. The coordinator takes a client for broken
	// that wants more than 1,024.
	maxOpen = 900

	// settledAfter is how long a daemon keeps the memory that its start took: what is
	// done at once by those who waited for it is faster with it.
	settledAfter = 10 * time.Second
)

// errTooMany is a tunnel beyond maxOpen.
var errTooMany = errors.New("too many tunnels are open")

// need makes a tunnel, which a packet waits for. Packets come until the interface
// goes, and those that come while the daemon ends go with it.
func (d *daemon) need(addr netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending {
		return
	}
	d.wg.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, connectFor)
		defer cancel()
		_ = d.connect(ctx, addr) // whoever waits for it is told by the gate
	})
}

// connect makes a tunnel to an address, unless there is one, and has the gate know.
func (d *daemon) connect(ctx context.Context, addr netip.Addr) error {
	d.mu.Lock()
	h, node := d.hosts[addr], d.node
	known := d.open[addr] != ""
	var err error
	switch {
	case h == nil || node == nil:
		err = tunnel.ErrPeerNotFound
	case len(d.open) >= maxOpen && !known:
		err = errTooMany
	default:
		d.open[addr] = h.ID
	}
	d.mu.Unlock()
	if err != nil {
		d.gate.Failed(addr)
		return fmt.Errorf("daemon: connect to %v: %w", addr, err)
	}
	if _, err := node.Connect(ctx, h.ID); err != nil {
		if !known {
			d.drop(addr, h.ID)
		}
		d.gate.Failed(addr)
		d.events.publish(Event{Kind: EventFailed, Peer: h.Name(), Error: err.Error()})
		return err
	}
	d.gate.Opened(addr)
	if !known {
		d.events.publish(Event{Kind: EventOpened, Peer: h.Name()})
	}
	return nil
}

// drop gives a tunnel up.
func (d *daemon) drop(addr netip.Addr, id string) {
	d.gate.Shut(addr)
	d.mu.Lock()
	delete(d.open, addr)
	node := d.node
	d.mu.Unlock()
	node.Release(id)
}

// dropIdle drops tunnels that nothing has been sent through for long, until ctx is
// done. A connection that is open and silent keeps its tunnel: the workspace may have
// something to say. Connections tells which peers have such, if that can be told. After the
// start, and when nothing is sent any more, the memory that this took is given back.
func (d *daemon) dropIdle(ctx context.Context, connections func() (map[netip.Addr]bool, bool)) {
	const looks = 10 // in idleAfter
	tick := time.NewTicker(idleAfter / looks)
	defer tick.Stop()
	idle := make(map[netip.Addr]time.Duration)
	busy := false
	settled := time.After(settledAfter)
	for {
		select {
		case <-ctx.Done():
			return
		case <-settled:
			d.rest()
			continue
		case <-tick.C:
		}
		connected, known := connections()
		limit := idleAfter
		if !known {
			limit = idleUnknown
		}
		now := make(map[netip.Addr]time.Duration)
		was := busy
		var unused []netip.Addr
		unused, busy = d.gate.Unused()
		for _, addr := range unused {
			now[addr] = idle[addr] + idleAfter/looks
			if connected[addr] || connected[d.ipv4Of(addr)] || now[addr] < limit {
				continue
			}
			d.mu.Lock()
			h := d.hosts[addr]
			d.mu.Unlock()
			if h == nil {
				continue // it went meanwhile, and its link with it
			}
			d.drop(addr, h.ID)
			delete(now, addr)
			d.events.publish(Event{Kind: EventIdle, Peer: h.Name()})
		}
		idle = now
		if was && !busy {
			d.rest()
		}
	}
}

// rest gives back the memory that nobody needs now: what reading a thousand workspaces took,
// or a large file that went through a tunnel.
func (d *daemon) rest() {
	if err := memory.Rest(); err != nil {
		d.log.Debug("more memory is held than need be", "err", err)
	}
}
