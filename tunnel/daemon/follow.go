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

// followAgain is how soon the coordinator is asked again that did not answer.
const followAgain = 2 * time.Second

// follow keeps the names in line with the coordinator's workspaces until ctx is done.
func (d *daemon) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.cfg.Client.Watch(ctx, sdk.Watching{Topic: sdk.WatchWorkspaces, Owner: sdk.OwnerReach}, func() error { return d.readAll(ctx) },
			func(c sdk.Change) error { return d.changed(ctx, c) })
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

// readAll reads what there is.
func (d *daemon) readAll(ctx context.Context) error {
	me, err := d.cfg.Client.Me(ctx)
	if err != nil {
		return err
	}
	list, err := d.cfg.Client.Workspaces(ctx, "me")
	if err != nil {
		return err
	}
	shared, err := d.cfg.Client.SharedWorkspaces(ctx)
	if err != nil {
		return err
	}
	reachable := make(map[string][]reach, len(list)+len(shared))
	for _, w := range append(list, shared...) {
		if now := agents(w); len(now) > 0 {
			reachable[w.ID] = now
		}
	}
	d.mu.Lock()
	d.me, d.reachable = me.Username, reachable
	d.applyLocked()
	d.mu.Unlock()
	d.once.Do(func() { close(d.listed) })
	return nil
}

// changed takes a change of a workspace, or of what others share.
func (d *daemon) changed(ctx context.Context, c sdk.Change) error {
	if c.Kind == sdk.KindMembership {
		return d.readAll(ctx) // it does not say which workspaces come or go with it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var now []reach
	if c.Workspace != nil {
		now = agents(*c.Workspace)
	}
	if slices.Equal(d.reachable[c.WorkspaceID], now) {
		return nil
	}
	if len(now) == 0 {
		delete(d.reachable, c.WorkspaceID)
	} else {
		d.reachable[c.WorkspaceID] = now
	}
	d.applyLocked()
	return nil
}

// agents are those of a workspace that may be reached: none where it is shared for its
// apps alone.
func agents(w sdk.Workspace) []reach {
	if w.Shared == sdk.ShareApps {
		return nil
	}
	list := make([]reach, 0, len(w.Agents))
	for _, a := range w.Agents {
		list = append(list, reach{names.Host{ID: a.NodeID, Agent: a.Name, Workspace: w.Name, Owner: w.Owner, Addr: a.Address}, a.State})
	}
	return list
}

// applyLocked has names and gate know what may be reached now.
func (d *daemon) applyLocked() {
	d.hosts = make(map[netip.Addr]*reach)
	for _, list := range d.reachable {
		for _, h := range list {
			d.hosts[h.Addr] = &h
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
