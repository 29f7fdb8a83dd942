package daemon

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/tunnel/hostnet"
)

// routesSettle is how long routes are given to be complete before it is looked
// whether they meet our own.
const routesSettle = 200 * time.Millisecond

// lay lays the node's address onto the interface, and a range of IPv4 addresses that
// nothing else of this machine uses. Without such a range there is IPv6 alone.
func (d *daemon) lay(dev *hostnet.Interface, self netip.Addr) error {
	var self4 netip.Addr
	pool, err := d.freePool()
	if err == nil {
		self4, _ = hostnet.Assign(pool, nil, nil)
		err = dev.SetAddress(self, append(d.others(), self4), []netip.Prefix{meshaddr.Prefix, pool})
	}
	if err != nil {
		d.log.Warn("workspaces have no IPv4 addresses", "err", err)
		self4, pool = netip.Addr{}, netip.Prefix{}
		if err := dev.SetAddress(self, d.others(), []netip.Prefix{meshaddr.Prefix}); err != nil {
			return err
		}
	}
	d.mu.Lock()
	d.self, d.self4 = self, self4
	d.pool.Store(nil)
	if pool.IsValid() {
		d.pool.Store(&pool)
	}
	d.applyLocked()
	d.mu.Unlock()
	if r := d.resolver.Load(); r != nil {
		if err := r.SetReverse(d.ranges()); err != nil {
			d.log.Warn("programs do not find the names of the workspaces' IPv4 addresses", "err", err)
		}
	}
	return nil
}

// ranges are those that the mesh's addresses are from, and what stands for them.
func (d *daemon) ranges() []netip.Prefix {
	list := []netip.Prefix{meshaddr.Prefix}
	if pool := d.pool.Load(); pool != nil {
		list = append(list, *pool)
	}
	return list
}

// freePool returns a range that nothing else of this machine uses: the one that there is, if
// it may stay.
func (d *daemon) freePool() (netip.Prefix, error) {
	var prefer netip.Prefix
	if now := d.pool.Load(); now != nil {
		prefer = *now
	}
	used, err := hostnet.IPv4InUse(d.ifc)
	if err != nil {
		return netip.Prefix{}, err
	}
	return hostnet.PickPool(prefer, used)
}

// watchPool tells collided when the pool meets a network that has come, until ctx is
// done.
func (d *daemon) watchPool(ctx context.Context, collided chan<- struct{}) {
	changed := make(chan struct{}, 1)
	d.wg.Go(func() {
		err := hostnet.WatchRoutes(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		if err != nil {
			d.log.Debug("networks that use the workspaces' IPv4 addresses will not be noticed", "err", err)
		}
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		sleep(ctx, routesSettle)
		pool := d.pool.Load()
		if now, err := d.freePool(); err == nil && pool != nil && now != *pool {
			select {
			case collided <- struct{}{}:
			default:
			}
		}
	}
}

// assignLocked gives what may be reached its IPv4 addresses.
func (d *daemon) assignLocked() {
	if pool := d.pool.Load(); pool == nil {
		d.fourth = nil
	} else {
		_, d.fourth = hostnet.Assign(*pool, d.fourth, slices.Collect(maps.Keys(d.hosts)))
	}
	for a, h := range d.hosts {
		h.Addr4 = d.fourth[a]
	}
	d.gate.SetIPv4(d.self, d.self4, d.fourth)
}

// ipv4Of returns what stands for an address in IPv4; invalid if nothing does.
func (d *daemon) ipv4Of(addr netip.Addr) netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fourth[addr]
}

// owns reports whether an address is the mesh's, also one that stands for one.
func (d *daemon) owns(addr netip.Addr) bool {
	return meshaddr.Prefix.Contains(addr) || d.inPool(addr)
}

// inPool reports whether an address is one that stands for one of the mesh's.
func (d *daemon) inPool(addr netip.Addr) bool {
	pool := d.pool.Load()
	return pool != nil && pool.Contains(addr)
}
