package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
)

// ownerReach watches one's own workspaces and those that others share with one.
const ownerReach = "reach"

// sharedWith is what others share with who watches: workspaces, and at which levels.
type sharedWith map[uuid.UUID]string

// watchesShared returns what others share with the caller of what is watched.
func (a *API) watchesShared(ctx context.Context, q WatchQuery) (sharedWith, error) {
	if q.Owner == ownerReach {
		if err := a.allowOwn(ctx, auth.Read, auth.Workspace); err != nil {
			return nil, err
		}
		shared, err := a.allShared(ctx, caller(ctx).UserID)
		if err != nil {
			return nil, a.problem(err)
		}
		return shared, nil
	}
	id, err := uuid.Parse(q.Workspace)
	if err != nil || q.Owner == "all" {
		return nil, nil
	}
	list, err := a.Store.WorkspacesByIDs(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, a.problem(err)
	}
	if len(list) == 0 || list[0].OwnerID == caller(ctx).UserID {
		return nil, nil
	}
	on, err := a.workspaceFor(ctx, list[0])
	if err != nil || !auth.Allowed(caller(ctx), auth.Read, on) {
		return nil, err
	}
	return sharedWith{id: string(on.Grant)}, nil
}

// allShared reads all that others share with a user.
func (a *API) allShared(ctx context.Context, user uuid.UUID) (sharedWith, error) {
	const atOnce = 500
	shared := make(sharedWith)
	for p := (store.Page{Max: atOnce}); ; {
		list, levels, err := a.Store.SharedWith(ctx, user, p)
		if err != nil {
			return nil, err
		}
		for id, level := range levels {
			shared[id] = level
		}
		if len(levels) < atOnce || len(list) == 0 {
			return shared, nil
		}
		last := list[len(list)-1]
		p.After = []string{strings.ToLower(last.OwnerName), strings.ToLower(last.Name)}
	}
}

// reload brings what is shared with a user in line with what events may have changed.
func (a *API) reload(ctx context.Context, user uuid.UUID, shared sharedWith, list []store.Event) error {
	if !slices.ContainsFunc(list, func(e store.Event) bool { return changesReach(e, user, toGroup(e)) || shared.closedBy(e) }) {
		return nil
	}
	now, err := a.allShared(ctx, user)
	if err != nil {
		return err
	}
	clear(shared)
	for id, level := range now {
		shared[id] = level
	}
	return nil
}

// closedBy reports whether an event may end that a workspace is shared. Who watches
// comes back, and shows whether it does.
func (s sharedWith) closedBy(e store.Event) bool {
	_, is := s[e.WorkspaceID]
	return is && (e.Kind == store.EventShare || e.Kind == store.EventWorkspace && e.Action == store.Deleted)
}

// changesReach reports whether an event may change what others share with a user: a
// share of a workspace that is, or was, shared with them, or with them by name, or
// what they are a member of.
func changesReach(e store.Event, user uuid.UUID, shared bool) bool {
	return e.Kind == store.EventMembership && e.SubjectID == user || e.Kind == store.EventShare && (shared || sharedBy(e).User == user)
}

// share is what the event of a share tells.
type share struct {
	User  uuid.UUID     `json:"user_id"`
	Group uuid.NullUUID `json:"group_id"`
}

// sharedBy reads the event of a share; its data is the database's own.
func sharedBy(e store.Event) share {
	var s share
	_ = json.Unmarshal(e.Data, &s)
	return s
}

func toGroup(e store.Event) bool { return e.Kind == store.EventShare && sharedBy(e).Group.Valid }
