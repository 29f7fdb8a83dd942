package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Usage is what the workspaces of a user cost together, by their templates.
type Usage struct {
	Used int
	// Budget is how much they may; negative is no limit.
	Budget int
}

// OverQuota is a workspace too many.
type OverQuota struct {
	Usage
	Cost int
}

func (e *OverQuota) Error() string {
	return fmt.Sprintf("the quota is used up: workspaces may cost %d together and cost %d, and this one costs %d; delete one, or ask for a larger quota",
		e.Budget, e.Used, e.Cost)
}

// Unwrap makes it match ErrConflict.
func (e *OverQuota) Unwrap() error { return ErrConflict }

// Quota is how much the workspaces of a user, or of each member of a group, may
// cost together.
type Quota struct {
	Name   string
	Group  bool
	Budget int
}

// spend returns an *OverQuota unless a user has room for what a workspace costs.
// The user stays locked, so that of two at once the second sees the first.
func spend(ctx context.Context, q *db.Queries, userID uuid.UUID, cost int32) error {
	if _, err := q.LockOwner(ctx, userID); err != nil {
		return err
	}
	r, err := q.QuotaOf(ctx, nullable(userID))
	if err != nil {
		return err
	}
	u := usageFrom(r)
	if cost > 0 && u.Budget >= 0 && u.Used+int(cost) > u.Budget {
		return &OverQuota{Usage: u, Cost: int(cost)}
	}
	return nil
}

func usageFrom(r db.QuotaOfRow) Usage { return Usage{Used: int(r.Used), Budget: int(r.Budget)} }

// UsageOf returns what a user's workspaces cost, and how much they may.
func (s *Store) UsageOf(ctx context.Context, userID uuid.UUID) (Usage, error) {
	r, err := one(ctx, "quota of user "+userID.String(), func(ctx context.Context) (db.QuotaOfRow, error) {
		return s.q.QuotaOf(ctx, nullable(userID))
	})
	return usageFrom(r), err
}

// Quotas lists all: people's, then groups', by name.
func (s *Store) Quotas(ctx context.Context) ([]Quota, error) {
	rows, err := one(ctx, "quotas", s.q.Quotas)
	list := make([]Quota, 0, len(rows))
	for _, r := range rows {
		list = append(list, Quota{Name: r.Username + r.GroupName, Group: r.GroupName != "", Budget: int(r.Budget)})
	}
	return list, err
}

// SetQuota sets a quota of a user, or of a group of the default organization;
// ErrNotFound if there is none of that name.
func (s *Store) SetQuota(ctx context.Context, n Quota) error {
	return affected(ctx, "quota of "+n.Name, func(ctx context.Context) (int64, error) {
		if n.Group {
			return s.q.SetGroupQuota(ctx, db.SetGroupQuotaParams{GroupName: n.Name, OrganizationID: DefaultOrganization, Budget: int32(n.Budget)})
		}
		return s.q.SetUserQuota(ctx, db.SetUserQuotaParams{Username: n.Name, Budget: int32(n.Budget)})
	})
}

// DeleteQuota ends a quota; ErrNotFound if there is none.
func (s *Store) DeleteQuota(ctx context.Context, name string, group bool) error {
	return affected(ctx, "end quota of "+name, func(ctx context.Context) (int64, error) {
		if group {
			return s.q.DeleteGroupQuota(ctx, db.DeleteGroupQuotaParams{GroupName: name, OrganizationID: DefaultOrganization})
		}
		return s.q.DeleteUserQuota(ctx, name)
	})
}

// SetFavourite puts a workspace among a user's favourites, or takes it out.
func (s *Store) SetFavourite(ctx context.Context, userID, workspaceID uuid.UUID, is bool) error {
	return do(ctx, "favourite "+workspaceID.String(), func(ctx context.Context) error {
		if is {
			return s.q.InsertFavourite(ctx, db.InsertFavouriteParams{UserID: userID, WorkspaceID: workspaceID})
		}
		return s.q.DeleteFavourite(ctx, db.DeleteFavouriteParams{UserID: userID, WorkspaceID: workspaceID})
	})
}

// FavouritesAmong returns which of some workspaces are a user's favourites.
func (s *Store) FavouritesAmong(ctx context.Context, userID uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := one(ctx, "favourites of user "+userID.String(), func(ctx context.Context) ([]uuid.UUID, error) {
		return s.q.FavouritesAmong(ctx, db.FavouritesAmongParams{UserID: userID, Ids: ids})
	})
	is := make(map[uuid.UUID]bool, len(rows))
	for _, id := range rows {
		is[id] = true
	}
	return is, err
}
