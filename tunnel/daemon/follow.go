package daemon

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel/names"
)

const (
	// sharedEvery is how often it is looked which workspaces others share: changes of
	// one's own are told.
	sharedEvery = 15 * time.Second

	// followAgain is how soon the coordinator is asked again that did not answer.
	followAgain = 2 * time.Second
)

// follow keeps the names in line with the coordinator's workspaces until ctx is done.
func (d *daemon) follow(ctx context.Context) {
	d.wg.Go(func() { d.followShared(ctx) })
	for ctx.Err() == nil {
		err := d.cfg.Client.Watch(ctx, sdk.Watching{Topic: sdk.WatchWorkspaces}, func() error { return d.readOwn(ctx) }, d.changed)
		if ctx.Err() != nil {
			return
		}
		d.log.Debug("workspaces are not followed for a moment", "err", err)
		sleep(ctx, followAgain)
	}
}

func sleep(ctx context.Context, long time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	}
}

func (d *daemon) readOwn(ctx context.Context) error {
	me, err := d.cfg.Client.Me(ctx)
	if err != nil {
		return err
	}
	list, err := d.cfg.Client.Workspaces(ctx, "me")
	if err != nil {
		return err
	}
	own := make(map[string][]reach, len(list))
	for _, w := range list {
		own[w.ID] = agents(w)
	}
	d.mu.Lock()
	d.me, d.own = me.Username, own
	d.applyLocked()
	d.mu.Unlock()
	d.once.Do(func() { close(d.listed) })
	return nil
}

// changed takes a change of one of the user's workspaces.
func (d *daemon) changed(c sdk.Change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var now []reach
	if c.Workspace != nil {
		now = agents(*c.Workspace)
	}
	if slices.Equal(d.own[c.WorkspaceID], now) {
		return nil
	}
	if len(now) == 0 {
		delete(d.own, c.WorkspaceID)
	} else {
		d.own[c.WorkspaceID] = now
	}
	d.applyLocked()
	return nil
}

func (d *daemon) followShared(ctx context.Context) {
	for ctx.Err() == nil {
		if list, err := d.cfg.Client.SharedWorkspaces(ctx); err == nil {
			shared := make(map[string][]reach)
			for _, w := range list {
				if w.Shared != sdk.ShareApps {
					shared[w.ID] = agents(w)
				}
			}
			d.mu.Lock()
			if !maps.EqualFunc(shared, d.shared, slices.Equal) {
				d.shared = shared
				d.applyLocked()
			}
			d.mu.Unlock()
		}
		sleep(ctx, sharedEvery)
	}
}

func agents(w sdk.Workspace) []reach {
	list := make([]reach, 0, len(w.Agents))
	for _, a := range w.Agents {
		list = append(list, reach{names.Host{ID: a.NodeID, Agent: a.Name, Workspace: w.Name, Owner: w.Owner, Addr: a.Address}, a.State})
	}
	return list
}

// applyLocked has names and gate know what may be reached now.
func (d *daemon) applyLocked() {
	d.hosts = make(map[netip.Addr]*reach)
	for _, set := range []map[string][]reach{d.own, d.shared} {
		for _, list := range set {
			for _, h := range list {
				d.hosts[h.Addr] = &h
			}
		}
	}
	d.assignLocked()
	hosts := make([]names.Host, 0, len(d.hosts))
	for _, h := range d.hosts {
		hosts = append(hosts, h.Host)
	}
	for addr, id := range d.open {
		if d.hosts[addr] == nil {
			delete(d.open, addr)
			d.node.Release(id)
		}
	}
	d.table.Set(d.me, hosts)
	d.gate.SetPeers(slices.Collect(maps.Keys(d.hosts)))
	d.events.publish(Event{Kind: EventNames, Count: len(hosts)})
}
