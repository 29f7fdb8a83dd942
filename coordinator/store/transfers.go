package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Offer is a workspace that somebody may make theirs. Its id is the workspace's.
type Offer struct {
	ID uuid.UUID
	// To is whom it is offered to, and By who offered it, by user name.
	To, By, Owner, Name string
	External            bool
	CreatedAt           time.Time
}

// OfferWorkspace offers a workspace to a user, and to nobody else any more, for a
// week; ErrNotFound unless they are somebody else in its organization, ErrChanged
// unless it is at one of the versions.
func (s *Store) OfferWorkspace(ctx context.Context, id uuid.UUID, to string, by uuid.UUID, at Versions) error {
	return s.touch(ctx, "offer workspace", id, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		return q.OfferWorkspace(ctx, db.OfferWorkspaceParams{WorkspaceID: id, Username: to, OfferedBy: by})
	})
}

// CancelOffer takes an offer back; ErrNotFound if there is none, ErrChanged unless
// the workspace is at one of the versions.
func (s *Store) CancelOffer(ctx context.Context, id uuid.UUID, at Versions) error {
	return s.touch(ctx, "cancel offer of workspace", id, at, func(ctx context.Context, q *db.Queries) (int64, error) { return q.DeleteOffer(ctx, id) })
}

// DeclineOffer is what whom it is to does; ErrNotFound if there is none to them.
func (s *Store) DeclineOffer(ctx context.Context, id, userID uuid.UUID) error {
	return affected(ctx, "decline offer of workspace "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.DeleteOfferTo(ctx, db.DeleteOfferToParams{ID: id, UserID: userID})
	})
}

// Offers lists those to a user, by them, and of their workspaces: by time and id.
func (s *Store) Offers(ctx context.Context, userID uuid.UUID, p Page) ([]Offer, error) {
	rows, err := one(ctx, "offers of user "+userID.String(), func(ctx context.Context) ([]db.OffersOfRow, error) {
		at, id, err := p.afterTime()
		if err != nil {
			return nil, err
		}
		return s.q.OffersOf(ctx, db.OffersOfParams{UserID: userID, AfterAt: at, AfterID: id, Name: p.Name, Max: int32(p.Max)})
	})
	list := make([]Offer, 0, len(rows))
	for _, r := range rows {
		list = append(list, Offer{ID: r.ID, To: r.ToName, By: r.ByName, Owner: r.OwnerName, Name: r.Name, External: r.External, CreatedAt: r.CreatedAt})
	}
	return list, err
}

// NewOwner is who takes a workspace that is offered to them.
type NewOwner struct {
	WorkspaceID, UserID uuid.UUID
	// Name is what it is called from now on; empty keeps its name.
	Name string
	// AgentTokenHash is what its agents join with from now on; empty is nothing.
	AgentTokenHash []byte
}

// TransferWorkspace gives a workspace to whom it is offered to, if decide agrees.
// With the owner go its shares and what its agents join with: it returns the
// agents, whose sessions are to end. ErrNotFound if it is not offered to them,
// ErrConflict if they have one of that name, an *OverQuota if they have no room.
func (s *Store) TransferWorkspace(ctx context.Context, n NewOwner, decide func(WorkspaceState) error) (agents []uuid.UUID, err error) {
	err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		// Users before workspaces, as everywhere.
		if _, err := q.LockOwner(ctx, n.UserID); err != nil {
			return err
		}
		st, err := lockWorkspace(ctx, q, n.WorkspaceID)
		if err != nil {
			return err
		}
		if _, err := q.TakeOffer(ctx, db.TakeOfferParams{WorkspaceID: st.ID, UserID: n.UserID}); err != nil {
			return err
		}
		if err := decide(st); err != nil {
			return err
		}
		cost, err := q.CostOfWorkspace(ctx, st.ID)
		if err != nil {
			return err
		}
		if err := spend(ctx, q, n.UserID, cost.OrganizationID, cost.Cost); err != nil {
			return err
		}
		name := n.Name
		if name == "" {
			name = st.Name
		}
		if err := q.GiveWorkspace(ctx, db.GiveWorkspaceParams{ID: st.ID, OwnerID: n.UserID, Name: name}); err != nil {
			return err
		}
		if err := q.DeleteShares(ctx, st.ID); err != nil {
			return err
		}
		hash := n.AgentTokenHash
		if hash == nil {
			hash = []byte{}
		}
		if agents, err = q.ResetAgents(ctx, db.ResetAgentsParams{WorkspaceID: st.ID, TokenHash: hash}); err != nil {
			return err
		}
		// The keys that the old owner's machine has are nobody's any more.
		return q.DeleteNodesOfAgents(ctx, agents)
	})
	if err != nil {
		return nil, fmt.Errorf("store: transfer workspace %s: %w", n.WorkspaceID, kind(err))
	}
	return agents, nil
}
