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

// followAccess ends streams and links that may not be any more, and tells peers what
// agents are called, until ctx is done: tokens, shares, memberships, owners and names
// change on any coordinator, and each has its own streams and links.
func (s *Server) followAccess(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.recheckAsToldOf(ctx)
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("access that ended may not have ended what is open; all will be looked at", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(recheckAgain):
		}
	}
}

// recheckAsToldOf looks at all that is open, and then at what events are about.
func (s *Server) recheckAsToldOf(ctx context.Context) error {
	after, err := s.store.NewestEvent(ctx)
	if err != nil {
		return err
	}
	now := ended{access: mesh.Access{All: true}, policy: true}
	for {
		if now.policy {
			if err := errors.Join(s.loadPolicy(ctx), s.proxy.Recheck(ctx, mesh.Access{All: true})); err != nil {
				return err
			}
		}
		if err := errors.Join(s.hub.Recheck(ctx, now.access), s.api.Recheck(ctx, now.access), s.proxy.Recheck(ctx, now.access)); err != nil {
			return err
		}
		for _, id := range now.keys {
			s.workspaces.KeyRevoked(id)
		}
		if err := s.hub.Renamed(ctx, now.names); err != nil {
			return err
		}
		for now = (ended{}); now.access.Nobody() && len(now.names)+len(now.keys) == 0 && !now.policy; {
			list, err := s.events.Next(ctx, after)
			if errors.Is(err, store.ErrGone) {
				return nil // from the start, then
			}
			if err != nil {
				return err
			}
			after = list[len(list)-1].Version
			if now, err = accessEnded(list); err != nil {
				return err
			}
		}
	}
}

// ended is what events may have ended.
type ended struct {
	access mesh.Access
	keys   []uuid.UUID          // of provisioners
	names  map[uuid.UUID]string // of workspaces: what they are called now
	policy bool                 // it is another
}

// accessEnded says whose access events may have ended, and what workspaces are called
// after them.
func accessEnded(list []store.Event) (ended, error) {
	now := ended{names: make(map[uuid.UUID]string), access: mesh.Access{
		Users: make(map[uuid.UUID]bool), Workspaces: make(map[uuid.UUID]bool), Agents: make(map[uuid.UUID]bool),
		Given: make(map[uuid.UUID]bool), Left: make(map[mesh.Leaver]bool),
	}}
	for _, e := range list {
		gone := e.Action == store.Deleted
		var data struct {
			Name         string
			Organization uuid.NullUUID `json:"organization_id"`
			Group        uuid.NullUUID `json:"group_id"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return now, fmt.Errorf("event %d: %w", e.Version, err)
		}
		switch {
		case e.Kind == store.EventShare && e.Action != store.Created:
			now.access.Workspaces[e.WorkspaceID] = true
		case e.Kind == store.EventPolicy:
			now.policy = true
		case e.Kind == store.EventMembership: // also a new one: the policy may name the group
			now.access.Users[e.SubjectID] = true
			if gone && !data.Group.Valid {
				now.access.Left[mesh.Leaver{User: e.SubjectID, Organization: data.Organization.UUID}] = true
			}
		case e.Kind == store.EventUser && e.Action != store.Created:
			now.access.Users[e.SubjectID] = true
		case e.Kind == store.EventToken && gone:
			now.access.Users[e.OwnerID] = true
		case e.Kind == store.EventAgent && gone:
			now.access.Agents[e.SubjectID] = true
		case e.Kind == store.EventProvisionerKey && gone:
			now.keys = append(now.keys, e.SubjectID)
		case e.Kind == store.EventWorkspace && gone: // or it has another owner
			now.access.Workspaces[e.WorkspaceID], now.access.Given[e.WorkspaceID] = true, true
		case e.Kind == store.EventWorkspace && e.Action == store.Changed:
			now.names[e.WorkspaceID] = data.Name
		}
	}
	return now, nil
}
