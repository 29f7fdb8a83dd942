package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/policy"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// Where nodes are to be reached is the policy's to say, by what it calls them. That is
// asked of the store when they join, if there is a policy that wants to know, and later
// when one comes, or when it may have changed.

// placeAgain is the pause after a store that could not tell.
const placeAgain = time.Second

// place is where a session's node is to be reached.
type place struct {
	// known is what the policy calls the node; nil is to be asked of the store.
	known *policy.Node
	// epoch is from before the store was asked for that.
	epoch uint64
	// told is what the node was told.
	told policy.Regions
}

// lookUp asks the store what the policy calls a node that joins, if the policy wants to
// know.
func (h *Hub) lookUp(ctx context.Context, who auth.Identity, s *session) error {
	h.mu.Lock()
	wanted, epoch := h.core.policy.Places(), h.epoch
	h.mu.Unlock()
	if !wanted {
		return nil
	}
	known, err := h.nodeOf(ctx, who)
	h.mu.Lock()
	defer h.mu.Unlock()
	s.place.known, s.place.epoch = known, epoch
	return err
}

// nodeOf asks the store what the policy calls a node: that of a workspace, for an agent's
// token, or somebody's.
func (h *Hub) nodeOf(ctx context.Context, who auth.Identity) (*policy.Node, error) {
	switch who.Kind {
	case auth.Agent:
		a, err := h.cfg.Store.LiveAgent(ctx, who.AgentID)
		if err != nil {
			return nil, err
		}
		w, err := h.workspaceOf(ctx, a)
		return &policy.Node{Workspace: &w}, err
	case auth.User:
		u, err := h.cfg.Store.UserByID(ctx, who.UserID)
		if err != nil {
			return nil, err
		}
		groups, err := h.cfg.Store.GroupNamesOf(ctx, who.UserID)
		return &policy.Node{Person: policy.Person{Name: u.Username, Groups: groups}}, err
	}
	return &policy.Node{}, nil // this process's own
}

// relaysFor is the relay map for a session, with what the policy says now. h.mu is held.
func (h *Hub) relaysFor(s *session) *meshv1.Down {
	s.place.told = h.placed(s)
	m := h.relays
	if told := s.place.told; len(told.Pinned)+len(told.Excluded) > 0 {
		m = &meshv1.Relays{Regions: h.relays.GetRegions(), Pinned: told.Pinned, Excluded: told.Excluded}
	}
	return &meshv1.Down{Msg: &meshv1.Down_Relays{Relays: m}}
}

// placed is where a session's node is to be reached: as it was told, until it is known what
// the policy calls it. h.mu is held.
func (h *Hub) placed(s *session) policy.Regions {
	switch {
	case !h.core.policy.Places():
		return policy.Regions{}
	case s.place.known == nil:
		return s.place.told
	}
	return h.core.policy.Regions(*s.place.known)
}

// place tells a session what the policy says now, if that is not what it knows, and has the
// store asked if it must be. h.mu is held.
func (h *Hub) place(s *session) {
	if h.core.policy.Places() && s.place.known == nil {
		select {
		case h.unplaced <- struct{}{}:
		default:
		}
	}
	if !h.placed(s).Equal(s.place.told) {
		s.outbox.put(h.relaysFor(s), false)
	}
}

// doubt has the store asked again what the policy calls a session's node, if that may be
// wrong by now. h.mu is held.
func (h *Hub) doubt(s *session) {
	if s.place.known != nil && s.place.epoch != h.epoch {
		s.place.known = nil
		h.place(s)
	}
}

// forgetPlaces has the store asked again what the policy calls some nodes: their owners'
// groups, or their names, may be others.
func (h *Hub) forgetPlaces(which func(n *node) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sid, n := range h.core.sessions {
		if which(n) {
			s := h.sessions[sid]
			s.place.known = nil
			h.place(s)
		}
	}
}

// placeNodes asks the store for what the policy calls nodes, whenever that is wanted, until
// ctx is done.
func (h *Hub) placeNodes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.unplaced:
		}
		for h.placeKnown(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(placeAgain):
			}
		}
	}
}

// placeKnown asks for all of whom it is not known. An error is the database's.
func (h *Hub) placeKnown(ctx context.Context) error {
	h.mu.Lock()
	epoch := h.epoch
	ask := make(map[sessionID]auth.Identity)
	for sid := range h.core.sessions {
		if s := h.sessions[sid]; s.place.known == nil && h.core.policy.Places() {
			ask[sid] = s.who
		}
	}
	h.mu.Unlock()
	for sid, who := range ask {
		known, err := h.nodeOf(ctx, who)
		if errors.Is(err, store.ErrNotFound) {
			continue // and its session ends
		}
		if err != nil {
			h.log.DebugContext(ctx, "where a node is to be reached is not known yet", "err", err)
			return fmt.Errorf("mesh: place a node: %w", err)
		}
		h.mu.Lock()
		if h.core.sessions[sid] != nil {
			s := h.sessions[sid]
			s.place.known, s.place.epoch = known, epoch
			h.place(s)
			h.doubt(s)
		}
		h.mu.Unlock()
	}
	return nil
}
