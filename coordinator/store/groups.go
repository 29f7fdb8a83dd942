package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Group is some members of an organization.
type Group struct {
	ID, OrganizationID uuid.UUID
	Name, Organization string // the latter is a name, too
	Members            int
	CreatedAt          time.Time
}

// GroupMember is a user in a group.
type GroupMember struct {
	UserID   uuid.UUID
	Username string
	// Managed are those whom their provider's claims put there, and take away.
	Managed bool
}

func groupFrom(g db.GroupByNameRow) Group {
	return Group{
		ID: g.ID, OrganizationID: g.OrganizationID, Name: g.Name, Organization: g.OrganizationName,
		Members: int(g.Members), CreatedAt: g.CreatedAt,
	}
}

// CreateGroup makes a group; ErrConflict if the organization has one of that
// name.
func (s *Store) CreateGroup(ctx context.Context, o Organization, name string) (Group, error) {
	g, err := one(ctx, "create group "+name, func(ctx context.Context) (db.Group, error) {
		return s.q.InsertGroup(ctx, db.InsertGroupParams{OrganizationID: o.ID, Name: name})
	})
	return Group{ID: g.ID, OrganizationID: g.OrganizationID, Name: g.Name, Organization: o.Name, CreatedAt: g.CreatedAt}, err
}

// Groups lists all, by the names of organization and group.
func (s *Store) Groups(ctx context.Context) ([]Group, error) {
	rows, err := one(ctx, "groups", s.q.Groups)
	list := make([]Group, 0, len(rows))
	for _, g := range rows {
		list = append(list, groupFrom(db.GroupByNameRow(g)))
	}
	return list, err
}

// GroupByName finds a group of an organization, in any case.
func (s *Store) GroupByName(ctx context.Context, organizationID uuid.UUID, name string) (Group, error) {
	g, err := one(ctx, "group "+name, func(ctx context.Context) (db.GroupByNameRow, error) {
		return s.q.GroupByName(ctx, db.GroupByNameParams{OrganizationID: organizationID, Name: name})
	})
	return groupFrom(g), err
}

// DeleteGroup deletes a group; its members stay.
func (s *Store) DeleteGroup(ctx context.Context, id uuid.UUID) error {
	return affected(ctx, "delete group "+id.String(), func(ctx context.Context) (int64, error) { return s.q.DeleteGroup(ctx, id) })
}

// GroupMembers lists a group's members by name.
func (s *Store) GroupMembers(ctx context.Context, id uuid.UUID) ([]GroupMember, error) {
	rows, err := one(ctx, "members of group "+id.String(), func(ctx context.Context) ([]db.GroupMembersRow, error) {
		return s.q.GroupMembers(ctx, id)
	})
	list := make([]GroupMember, 0, len(rows))
	for _, m := range rows {
		list = append(list, GroupMember{UserID: m.ID, Username: m.Username, Managed: m.Managed})
	}
	return list, err
}

// AddGroupMember puts a user into a group; ErrNotFound unless they are in its
// organization.
func (s *Store) AddGroupMember(ctx context.Context, id, userID uuid.UUID) error {
	return affected(ctx, "add to group "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.InsertGroupMember(ctx, db.InsertGroupMemberParams{GroupID: id, UserID: userID})
	})
}

// RemoveGroupMember takes a user out of a group.
func (s *Store) RemoveGroupMember(ctx context.Context, id, userID uuid.UUID) error {
	return affected(ctx, "remove from group "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.DeleteGroupMember(ctx, db.DeleteGroupMemberParams{GroupID: id, UserID: userID})
	})
}

// SetManagedGroups makes a user a member of those groups of the default
// organization, and no longer of others that a provider once put them into.
// Where people put them they stay. Names are in lower case.
func (s *Store) SetManagedGroups(ctx context.Context, userID uuid.UUID, names []string) error {
	if names == nil {
		names = []string{}
	}
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if err := q.LeaveManagedGroups(ctx, db.LeaveManagedGroupsParams{UserID: userID, Names: names}); err != nil {
			return err
		}
		return q.JoinManagedGroups(ctx, db.JoinManagedGroupsParams{UserID: userID, OrganizationID: DefaultOrganization, Names: names})
	})
	if err != nil {
		return fmt.Errorf("store: groups of user %s: %w", userID, kind(err))
	}
	return nil
}
