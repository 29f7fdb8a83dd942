package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aditmesh/adit/pkg/sdk"
)

// askLinked has the table know what a name without the suffix leads to by links of the
// policy, where these are all that leads anywhere: nobody can list what they lead to. It
// is asked for each connection, since links come and go. While the coordinator is away,
// what it said last holds.
func (d *daemon) askLinked(ctx context.Context, name string) error {
	labels := strings.Split(name, ".")
	owner, workspace := d.cfg.LinksOf, labels[0]
	switch len(labels) {
	case 1:
	case 2:
		owner = labels[1]
	case 3: // an agent of it
		workspace, owner = labels[1], labels[2]
	default:
		return errNoAgent
	}
	w, err := d.cfg.Client.LinkedWorkspace(ctx, owner, workspace)
	gone := errors.Is(err, sdk.ErrNotFound)
	var refused *sdk.Error
	switch {
	case errors.As(err, &refused) && !gone:
		return err
	case err != nil && !gone:
		d.log.Debug("what links lead to is not known for a moment", "err", err)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Also one that was of that name before.
	before := maps.Clone(d.reachable)
	maps.DeleteFunc(d.reachable, func(id string, list []reach) bool {
		return id == w.ID || slices.ContainsFunc(list, func(h reach) bool {
			return strings.EqualFold(h.Workspace, workspace) && strings.EqualFold(h.Owner, owner)
		})
	})
	if !gone {
		d.reachable[w.ID] = agents(w)
	}
	if !maps.EqualFunc(before, d.reachable, slices.Equal) {
		d.applyLocked()
	}
	if gone {
		return errNoAgent
	}
	return nil
}
