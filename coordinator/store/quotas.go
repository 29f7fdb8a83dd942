package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Usage is what the workspaces of a user cost together: by their templates, and by
// what their resources cost a day.
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

// QuotaOf names whose a quota is: a user's or, if Group is set, that of each member
// of a group of an organization.
type QuotaOf struct {
	Name           string
	Group          bool
	OrganizationID uuid.UUID // of the group
}

// Quota is how much the workspaces of a user may cost together, or those of each
// member of a group in the group's organization.
type Quota struct {
	Name string
	// Organization is the name of the group's; empty for people.
	Organization string
	Group        bool
	Budget       int
	// Version grows with every change; zero in lists.
	Version int64
}

// spend returns an *OverQuota unless a user has room for what a workspace costs in
// an organization. The user stays locked, so that of two at once the second sees
// the first.
func spend(ctx context.Context, q *db.Queries, userID, organizationID uuid.UUID, cost int32) error {
	if _, err := q.LockOwner(ctx, userID); err != nil {
		return err
	}
	r, err := q.QuotaOf(ctx, db.QuotaOfParams{UserID: userID, OrganizationID: organizationID})
	if err != nil {
		return err
	}
	return usageFrom(r).Afford(int(cost))
}

// Afford returns an *OverQuota unless there is room for what costs so much.
func (u Usage) Afford(cost int) error {
	if cost > 0 && u.Budget >= 0 && u.Used+cost > u.Budget {
		return &OverQuota{Usage: u, Cost: cost}
	}
	return nil
}

func usageFrom(r db.QuotaOfRow) Usage { return Usage{Used: int(r.Used), Budget: int(r.Budget)} }

// UsageOf returns what a user's workspaces cost, and how much they may: all of them
// if the user has a quota of their own, else those in an organization.
func (s *Store) UsageOf(ctx context.Context, userID, organizationID uuid.UUID) (Usage, error) {
	r, err := one(ctx, "quota of user "+userID.String(), func(ctx context.Context) (db.QuotaOfRow, error) {
		return s.q.QuotaOf(ctx, db.QuotaOfParams{UserID: userID, OrganizationID: organizationID})
	})
	return usageFrom(r), err
}

// Quotas lists people's, if they are wanted, and then those of groups of some
// organizations: by whether it is a group's ("true", "false"), organization and
// name.
func (s *Store) Quotas(ctx context.Context, people bool, groups Scope, p Page) ([]Quota, error) {
	rows, err := one(ctx, "quotas", func(ctx context.Context) ([]db.QuotasRow, error) {
		return s.q.Quotas(ctx, db.QuotasParams{
			People: people, Everywhere: groups.Everywhere, Organizations: groups.in(),
			AfterGroup: p.after(0) == "true", AfterOrganization: strings.ToLower(p.after(1)), AfterName: strings.ToLower(p.after(2)), Max: int32(p.Max),
		})
	})
	list := make([]Quota, 0, len(rows))
	for _, r := range rows {
		list = append(list, Quota{Name: r.Username + r.GroupName, Organization: r.Organization, Group: r.GroupName != "", Budget: int(r.Budget)})
	}
	return list, err
}

// Quota finds a quota; ErrNotFound if there is none.
func (s *Store) Quota(ctx context.Context, of QuotaOf) (Quota, error) {
	return one(ctx, "quota of "+of.Name, func(ctx context.Context) (Quota, error) { return quotaNow(ctx, s.q, of) })
}

func quotaNow(ctx context.Context, q *db.Queries, of QuotaOf) (Quota, error) {
	now := Quota{Name: of.Name, Group: of.Group}
	if of.Group {
		r, err := q.QuotaOfGroup(ctx, db.QuotaOfGroupParams{GroupName: of.Name, OrganizationID: of.OrganizationID})
		now.Budget, now.Version = int(r.Budget), r.Version
		return now, err
	}
	r, err := q.QuotaOfUser(ctx, of.Name)
	now.Budget, now.Version = int(r.Budget), r.Version
	return now, err
}

// SetQuota sets a quota; ErrNotFound if there is nobody of that name, ErrChanged
// unless there is one at one of the versions.
func (s *Store) SetQuota(ctx context.Context, of QuotaOf, budget int, at Versions) error {
	return s.changeQuota(ctx, "quota of "+of.Name, of, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		if of.Group {
			return q.SetGroupQuota(ctx, db.SetGroupQuotaParams{GroupName: of.Name, OrganizationID: of.OrganizationID, Budget: int32(budget)})
		}
		return q.SetUserQuota(ctx, db.SetUserQuotaParams{Username: of.Name, Budget: int32(budget)})
	})
}

// DeleteQuota ends a quota; ErrNotFound if there is none, ErrChanged unless it is
// at one of the versions.
func (s *Store) DeleteQuota(ctx context.Context, of QuotaOf, at Versions) error {
	return s.changeQuota(ctx, "end quota of "+of.Name, of, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		if of.Group {
			return q.DeleteGroupQuota(ctx, db.DeleteGroupQuotaParams{GroupName: of.Name, OrganizationID: of.OrganizationID})
		}
		return q.DeleteUserQuota(ctx, of.Name)
	})
}

func (s *Store) changeQuota(ctx context.Context, what string, of QuotaOf, at Versions, change func(context.Context, *db.Queries) (int64, error)) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		now, err := quotaNow(ctx, q, of)
		if err := checkFound(at, now.Version, err); err != nil {
			return err
		}
		n, err := change(ctx, q)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("store: %s: %w", what, kind(err))
	}
	return nil
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
