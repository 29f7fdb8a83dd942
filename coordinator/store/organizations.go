package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Organization is what templates, workspaces, groups and provisioner keys
// belong to.
type Organization struct {
	ID        uuid.UUID
	Name      string
	CreatedAt time.Time
	// Version grows with every change.
	Version int64
}

// Member is a user in an organization.
type Member struct {
	UserID   uuid.UUID
	Username string
	Role     Role // in the organization
	Since    time.Time
	// Version grows with every change; zero in lists.
	Version int64
}

// CreateOrganization makes an organization whose owner is a user; ErrConflict if
// the name is taken.
func (s *Store) CreateOrganization(ctx context.Context, name string, owner uuid.UUID) (Organization, error) {
	var made db.Organization
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) (err error) {
		if made, err = q.InsertOrganization(ctx, name); err != nil {
			return err
		}
		return q.InsertMember(ctx, db.InsertMemberParams{OrganizationID: made.ID, UserID: owner, Role: string(RoleOwner)})
	})
	if err != nil {
		return Organization{}, fmt.Errorf("store: create organization %s: %w", name, kind(err))
	}
	return Organization(made), nil
}

// Organizations lists some by name.
func (s *Store) Organizations(ctx context.Context, which Scope, p Page) ([]Organization, error) {
	rows, err := one(ctx, "organizations", func(ctx context.Context) ([]db.Organization, error) {
		return s.q.Organizations(ctx, db.OrganizationsParams{
			Everywhere: which.Everywhere, Organizations: which.in(), After: strings.ToLower(p.after(0)), Name: p.Name, Max: int32(p.Max),
		})
	})
	list := make([]Organization, 0, len(rows))
	for _, o := range rows {
		list = append(list, Organization(o))
	}
	return list, err
}

// OrganizationByName finds an organization, in any case.
func (s *Store) OrganizationByName(ctx context.Context, name string) (Organization, error) {
	o, err := one(ctx, "organization "+name, func(ctx context.Context) (db.Organization, error) { return s.q.OrganizationByName(ctx, name) })
	return Organization(o), err
}

// OrganizationByID finds an organization.
func (s *Store) OrganizationByID(ctx context.Context, id uuid.UUID) (Organization, error) {
	o, err := one(ctx, "organization "+id.String(), func(ctx context.Context) (db.Organization, error) { return s.q.OrganizationByID(ctx, id) })
	return Organization(o), err
}

// RenameOrganization renames an organization; ErrConflict if the name is taken,
// ErrChanged unless it is at one of the versions.
func (s *Store) RenameOrganization(ctx context.Context, id uuid.UUID, name string, at Versions) (Organization, error) {
	var renamed db.Organization
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		o, err := q.LockOrganization(ctx, id)
		if err != nil {
			return err
		}
		if err := at.Check(o.Version); err != nil {
			return err
		}
		renamed, err = q.RenameOrganization(ctx, db.RenameOrganizationParams{ID: id, Name: name})
		return err
	})
	if err != nil {
		return Organization{}, fmt.Errorf("store: rename organization %s: %w", id, kind(err))
	}
	return Organization(renamed), nil
}

// OrganizationInUse says what keeps an organization from being deleted.
type OrganizationInUse struct{ What string }

func (e *OrganizationInUse) Error() string {
	return "the organization still has " + e.What + "; delete or move them first"
}

// Unwrap makes it match ErrConflict.
func (e *OrganizationInUse) Unwrap() error { return ErrConflict }

// DeleteOrganization deletes an organization that has nothing but members; else
// the error is an *OrganizationInUse. The default one stays.
func (s *Store) DeleteOrganization(ctx context.Context, id uuid.UUID) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if _, err := q.LockOrganization(ctx, id); err != nil {
			return err
		}
		if id == DefaultOrganization {
			return &OrganizationInUse{What: "everybody who is in no other: it is the default one"}
		}
		n, err := q.CountOrganizationUse(ctx, id)
		if err != nil {
			return err
		}
		var what []string
		for _, c := range []struct {
			n    int64
			name string
		}{{n.Templates, "templates"}, {n.Workspaces, "workspaces"}, {n.Groups, "groups"}, {n.Keys, "provisioner keys"}} {
			if c.n > 0 {
				what = append(what, fmt.Sprintf("%d %s", c.n, c.name))
			}
		}
		if len(what) > 0 {
			return &OrganizationInUse{What: strings.Join(what, ", ")}
		}
		// What was deleted goes on to belong somewhere.
		if err := q.LeaveOrganization(ctx, db.LeaveOrganizationParams{ID: id, Heir: DefaultOrganization}); err != nil {
			return err
		}
		return q.DeleteOrganization(ctx, id)
	})
	if err != nil {
		return fmt.Errorf("store: delete organization %s: %w", id, kind(err))
	}
	return nil
}

// Members lists an organization's members by name.
func (s *Store) Members(ctx context.Context, organizationID uuid.UUID, p Page) ([]Member, error) {
	rows, err := one(ctx, "members of organization "+organizationID.String(), func(ctx context.Context) ([]db.MembersRow, error) {
		return s.q.Members(ctx, db.MembersParams{OrganizationID: organizationID, After: strings.ToLower(p.after(0)), Name: p.Name, Max: int32(p.Max)})
	})
	list := make([]Member, 0, len(rows))
	for _, m := range rows {
		list = append(list, Member{UserID: m.ID, Username: m.Username, Role: Role(m.Role), Since: m.CreatedAt})
	}
	return list, err
}

// Member finds a user in an organization; ErrNotFound if they are not.
func (s *Store) Member(ctx context.Context, organizationID, userID uuid.UUID) (Member, error) {
	m, err := one(ctx, "member of organization "+organizationID.String(), func(ctx context.Context) (db.MemberRow, error) {
		return s.q.Member(ctx, db.MemberParams{OrganizationID: organizationID, UserID: userID})
	})
	return Member{UserID: m.ID, Username: m.Username, Role: Role(m.Role), Since: m.CreatedAt, Version: m.Version}, err
}

// SetMember makes a user a member of an organization with a role, or gives them
// another; ErrChanged unless they are one, at one of the versions.
func (s *Store) SetMember(ctx context.Context, organizationID, userID uuid.UUID, role Role, at Versions) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		now, err := q.LockMember(ctx, db.LockMemberParams{OrganizationID: organizationID, UserID: userID})
		if err := checkFound(at, now, err); err != nil {
			return err
		}
		return q.InsertMember(ctx, db.InsertMemberParams{OrganizationID: organizationID, UserID: userID, Role: string(role)})
	})
	if err != nil {
		return fmt.Errorf("store: member of organization %s: %w", organizationID, kind(err))
	}
	return nil
}

// checkFound is Check for what may not be there yet, as err says: nobody has seen
// that at any version.
func checkFound(at Versions, now int64, err error) error {
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return at.Check(0)
	case err != nil:
		return err
	}
	return at.Check(now)
}

// RemoveMember takes a user out of an organization and its groups.
func (s *Store) RemoveMember(ctx context.Context, organizationID, userID uuid.UUID) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		n, err := q.DeleteMember(ctx, db.DeleteMemberParams{OrganizationID: organizationID, UserID: userID})
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return q.LeaveGroupsOf(ctx, db.LeaveGroupsOfParams{OrganizationID: organizationID, UserID: userID})
	})
	if err != nil {
		return fmt.Errorf("store: remove user %s from organization %s: %w", userID, organizationID, kind(err))
	}
	return nil
}
