package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/store"
)

// recheckAgain is how long after it failed access is looked at again.
const recheckAgain = time.Second

// followAccess ends links that may not be any more, and tells peers what agents are
// called, until ctx is done: shares, memberships, owners and names change on any
// coordinator, and each has its own links.
func (s *Server) followAccess(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.recheckAsToldOf(ctx)
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("access that ended may not have ended its links; all will be looked at", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(recheckAgain):
		}
	}
}

// recheckAsToldOf looks at all links, and then at those that events are about.
func (s *Server) recheckAsToldOf(ctx context.Context) error {
	after, err := s.store.NewestEvent(ctx)
	if err != nil {
		return err
	}
	which := mesh.Access{All: true}
	for {
		if err := s.hub.Recheck(ctx, which); err != nil {
			return err
		}
		var names map[uuid.UUID]string
		for which = (mesh.Access{}); len(which.Users)+len(which.Workspaces)+len(names) == 0; {
			list, err := s.events.Next(ctx, after)
			if errors.Is(err, store.ErrGone) {
				return nil // from the start, then
			}
			if err != nil {
				return err
			}
			after = list[len(list)-1].Version
			if which, names, err = accessChanged(list); err != nil {
				return err
			}
		}
		if err := s.hub.Renamed(ctx, names); err != nil {
			return err
		}
	}
}

// accessChanged says whose access events change, and what workspaces are called
// after them.
func accessChanged(list []store.Event) (mesh.Access, map[uuid.UUID]string, error) {
	names := make(map[uuid.UUID]string)
	a := mesh.Access{Users: make(map[uuid.UUID]bool), Workspaces: make(map[uuid.UUID]bool)}
	for _, e := range list {
		switch {
		case e.Kind == store.EventShare && e.Action != store.Created:
			a.Workspaces[e.WorkspaceID] = true
		case e.Kind == store.EventMembership && e.Action != store.Created, e.Kind == store.EventUser && e.Action != store.Created:
			a.Users[e.SubjectID] = true
		case e.Kind == store.EventWorkspace && e.Action == store.Deleted: // or it has another owner
			a.Workspaces[e.WorkspaceID] = true
		case e.Kind == store.EventWorkspace && e.Action == store.Changed:
			var now struct{ Name string }
			if err := json.Unmarshal(e.Data, &now); err != nil {
				return a, nil, fmt.Errorf("event %d: %w", e.Version, err)
			}
			names[e.WorkspaceID] = now.Name
		}
	}
	return a, names, nil
}
