package store

import (
	"context"
	"fmt"
	"strings"
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
	// Version grows with every change, also of who is in it.
	Version int64
}

// GroupMember is a user in a group.
type GroupMember struct {
	UserID   uuid.UUID
	Username string
	// Managers are the providers whose word put them there, and takes them away;
	// none is that people did. "" is some provider, from before it was noted which.
	Managers []string
}

func groupFrom(g db.GroupByNameRow) Group {
	return Group{
		ID: g.ID, OrganizationID: g.OrganizationID, Name: g.Name, Organization: g.OrganizationName,
		Members: int(g.Members), CreatedAt: g.CreatedAt, Version: g.Version,
	}
}

// CreateGroup makes a group; ErrConflict if the organization has one of that
// name.
func (s *Store) CreateGroup(ctx context.Context, o Organization, name string) (Group, error) {
	g, err := one(ctx, "create group "+name, func(ctx context.Context) (db.Group, error) {
		return s.q.InsertGroup(ctx, db.InsertGroupParams{OrganizationID: o.ID, Name: name})
	})
	return Group{ID: g.ID, OrganizationID: g.OrganizationID, Name: g.Name, Organization: o.Name, CreatedAt: g.CreatedAt, Version: g.Version}, err
}

// Groups lists groups of some organizations, by the names of organization and group.
func (s *Store) Groups(ctx context.Context, of Scope, p Page) ([]Group, error) {
	rows, err := one(ctx, "groups", func(ctx context.Context) ([]db.GroupsRow, error) {
		return s.q.Groups(ctx, db.GroupsParams{
			Everywhere: of.Everywhere, Organizations: of.in(), AfterOrganization: strings.ToLower(p.after(0)), AfterName: strings.ToLower(p.after(1)),
			Name: p.Name, Max: int32(p.Max),
		})
	})
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
func (s *Store) GroupMembers(ctx context.Context, id uuid.UUID, p Page) ([]GroupMember, error) {
	rows, err := one(ctx, "members of group "+id.String(), func(ctx context.Context) ([]db.GroupMembersRow, error) {
		return s.q.GroupMembers(ctx, db.GroupMembersParams{GroupID: id, After: strings.ToLower(p.after(0)), Name: p.Name, Max: int32(p.Max)})
	})
	list := make([]GroupMember, 0, len(rows))
	for _, m := range rows {
		list = append(list, GroupMember{UserID: m.ID, Username: m.Username, Managers: m.Managers})
	}
	return list, err
}

// AddGroupMember puts a user into a group; ErrNotFound unless they are in its
// organization, ErrChanged unless the group is at one of the versions.
func (s *Store) AddGroupMember(ctx context.Context, id, userID uuid.UUID, at Versions) error {
	return s.changeGroup(ctx, "add to group "+id.String(), id, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		return q.InsertGroupMember(ctx, db.InsertGroupMemberParams{GroupID: id, UserID: userID})
	})
}

// RemoveGroupMember takes a user out of a group; ErrChanged unless the group is at
// one of the versions.
func (s *Store) RemoveGroupMember(ctx context.Context, id, userID uuid.UUID, at Versions) error {
	return s.changeGroup(ctx, "remove from group "+id.String(), id, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		return q.DeleteGroupMember(ctx, db.DeleteGroupMemberParams{GroupID: id, UserID: userID})
	})
}

func (s *Store) changeGroup(ctx context.Context, what string, id uuid.UUID, at Versions, change func(context.Context, *db.Queries) (int64, error)) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		now, err := q.LockGroup(ctx, id)
		if err != nil {
			return err
		}
		if err := at.Check(now); err != nil {
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

// SetManagedGroups makes a user a member of some groups, of organizations that they
// are in, by a provider's word, and no longer of others that only its word put them
// into. Where people put them they stay. Names are in lower case:
// "organization/group", or those of groups of the default organization.
func (s *Store) SetManagedGroups(ctx context.Context, userID uuid.UUID, provider string, names []string) error {
	if names == nil {
		names = []string{}
	}
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		p := db.LeaveManagedGroupsParams{Provider: provider, UserID: userID, Names: names, DefaultID: DefaultOrganization}
		if err := q.LeaveManagedGroups(ctx, p); err != nil {
			return err
		}
		if err := q.DisownManagedGroups(ctx, db.DisownManagedGroupsParams(p)); err != nil {
			return err
		}
		return q.JoinManagedGroups(ctx, db.JoinManagedGroupsParams(p))
	})
	if err != nil {
		return fmt.Errorf("store: groups of user %s: %w", userID, kind(err))
	}
	return nil
}
