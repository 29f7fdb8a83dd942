package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Role is what a user is, in the deployment or in an organization of it. What
// each may do is coordinator/auth's to say.
type Role string

const (
	RoleOwner         Role = "owner"
	RoleTemplateAdmin Role = "template-admin"
	RoleUserAdmin     Role = "user-admin"
	RoleAuditor       Role = "auditor"
	RoleMember        Role = "member"
)

// Roles are all there are, the widest first.
var Roles = []Role{RoleOwner, RoleUserAdmin, RoleTemplateAdmin, RoleAuditor, RoleMember}

// DefaultOrganization is the organization that every deployment has.
var DefaultOrganization = uuid.MustParse("00000000-0000-0000-0000-000000000001")

// User is a person.
type User struct {
	ID              uuid.UUID
	Username, Email string
	PasswordHash    string // empty: no password, another way to sign in
	Role            Role
	CreatedAt       time.Time
	SuspendedAt     *time.Time // nil: they may sign in
	// Version grows with every change.
	Version int64
}

// NewUser is what a user starts from.
type NewUser struct {
	Username, Email, PasswordHash string
	Role                          Role
}

func userFrom(u db.User) User {
	return User{
		ID: u.ID, Username: u.Username, Email: u.Email, PasswordHash: u.PasswordHash,
		Role: Role(u.Role), CreatedAt: u.CreatedAt, SuspendedAt: u.SuspendedAt, Version: u.Version,
	}
}

// CreateFirstUser makes a user, provided that there is none yet; else
// ErrConflict. Of two calls at once one wins.
func (s *Store) CreateFirstUser(ctx context.Context, u NewUser) (User, error) {
	var made db.User
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if err := q.LockUsers(ctx); err != nil {
			return err
		}
		n, err := q.CountUsers(ctx, Nobody)
		if err != nil {
			return err
		}
		if n > 0 {
			return ErrConflict
		}
		made, err = insertUser(ctx, q, u)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("store: create the first user: %w", kind(err))
	}
	return userFrom(made), nil
}

// CreateUser makes a user; ErrConflict if the name or the address is taken.
func (s *Store) CreateUser(ctx context.Context, u NewUser) (User, error) {
	var made db.User
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) (err error) {
		made, err = insertUser(ctx, q, u)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("store: create user %s: %w", u.Username, kind(err))
	}
	return userFrom(made), nil
}

// insertUser makes a user, who is in the default organization.
func insertUser(ctx context.Context, q *db.Queries, u NewUser) (db.User, error) {
	made, err := q.InsertUser(ctx, db.InsertUserParams{
		Username: u.Username, Email: u.Email, PasswordHash: u.PasswordHash, Role: string(u.Role),
	})
	if err != nil {
		return made, err
	}
	return made, q.InsertMember(ctx, db.InsertMemberParams{
		OrganizationID: DefaultOrganization, UserID: made.ID, Role: string(RoleMember),
	})
}

// HasUsers reports whether anybody can sign in yet.
func (s *Store) HasUsers(ctx context.Context) (bool, error) {
	n, err := one(ctx, "count users", func(ctx context.Context) (int64, error) { return s.q.CountUsers(ctx, Nobody) })
	return n > 0, err
}

// UserByName finds a user by name, in any case.
func (s *Store) UserByName(ctx context.Context, name string) (User, error) {
	u, err := one(ctx, "user by name", func(ctx context.Context) (db.User, error) { return s.q.UserByName(ctx, name) })
	return userFrom(u), err
}

// UserByID finds a user.
func (s *Store) UserByID(ctx context.Context, id uuid.UUID) (User, error) {
	u, err := one(ctx, "user "+id.String(), func(ctx context.Context) (db.User, error) { return s.q.UserByID(ctx, id) })
	return userFrom(u), err
}

// UserByEmail finds a user by address, in any case.
func (s *Store) UserByEmail(ctx context.Context, email string) (User, error) {
	u, err := one(ctx, "user by address", func(ctx context.Context) (db.User, error) { return s.q.UserByEmail(ctx, email) })
	return userFrom(u), err
}

// UserQuery says which users a list has: oneself, members, and those with another
// role.
type UserQuery struct {
	Page
	// Own is a user whatever they are; zero is nobody.
	Own                     uuid.UUID
	Members, Administrators bool
}

// Users lists users by name, which is what the list is sorted by, the suspended
// too.
func (s *Store) Users(ctx context.Context, u UserQuery) ([]User, error) {
	rows, err := one(ctx, "users", func(ctx context.Context) ([]db.User, error) {
		return s.q.Users(ctx, db.UsersParams{
			After: strings.ToLower(u.after(0)), Name: u.Name, Own: u.Own, Members: u.Members, Administrators: u.Administrators, Max: int32(u.Max),
		})
	})
	list := make([]User, 0, len(rows))
	for _, u := range rows {
		list = append(list, userFrom(u))
	}
	return list, err
}

// ErrLastOwner is that a deployment would be left without an owner who can sign
// in.
var ErrLastOwner = errors.New("the deployment would have no owner left")

// ChangeUser changes what change does to a user; ErrConflict if the address is
// taken, ErrLastOwner if nobody would be left to own the deployment.
func (s *Store) ChangeUser(ctx context.Context, id uuid.UUID, change func(*User) error) (User, error) {
	var made db.User
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		// Of two owners who take each other's role, one comes too late.
		if err := q.LockUsers(ctx); err != nil {
			return err
		}
		row, err := q.LockUser(ctx, id)
		if err != nil {
			return err
		}
		u := userFrom(row)
		if err := change(&u); err != nil {
			return err
		}
		made, err = q.WriteUser(ctx, db.WriteUserParams{
			ID: id, Email: u.Email, Role: string(u.Role), PasswordHash: u.PasswordHash, SuspendedAt: u.SuspendedAt,
		})
		if err != nil {
			return err
		}
		return ownerLeft(ctx, q, row)
	})
	if err != nil {
		return User{}, fmt.Errorf("store: change user %s: %w", id, kind(err))
	}
	return userFrom(made), nil
}

// ownerLeft returns ErrLastOwner if what became of a user leaves no owner. Who
// was none, or could not sign in, makes no difference.
func ownerLeft(ctx context.Context, q *db.Queries, was db.User) error {
	if Role(was.Role) != RoleOwner || was.SuspendedAt != nil {
		return nil
	}
	n, err := q.CountActiveOwners(ctx)
	if err == nil && n == 0 {
		err = ErrLastOwner
	}
	return err
}

// WorkspacesLeft is why a user cannot be deleted: what these were made of would
// be nobody's to take down.
type WorkspacesLeft struct{ Names []string }

func (e *WorkspacesLeft) Error() string {
	return "they own workspaces made from templates, which have to be deleted or given to somebody else first: " + strings.Join(e.Names, ", ")
}

// Unwrap makes it match ErrConflict.
func (e *WorkspacesLeft) Unwrap() error { return ErrConflict }

// DeleteUser deletes a user with their external workspaces, whose agents it
// returns. What they once did goes on to name them; their name and address are
// free again. The error is a *WorkspacesLeft if they own others, and
// ErrLastOwner if nobody would be left to own the deployment.
func (s *Store) DeleteUser(ctx context.Context, id uuid.UUID) (agents []uuid.UUID, err error) {
	err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if err := q.LockUsers(ctx); err != nil {
			return err
		}
		// Whoever makes them a workspace or a token meanwhile waits for this row,
		// and then finds them gone.
		row, err := q.LockUser(ctx, id)
		if err != nil {
			return err
		}
		left, err := q.WorkspacesOfTemplates(ctx, id)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return &WorkspacesLeft{Names: left}
		}
		if agents, err = q.DeleteExternalWorkspaces(ctx, id); err != nil {
			return err
		}
		if _, err := q.RevokeTokensBut(ctx, db.RevokeTokensButParams{UserID: id}); err != nil {
			return err
		}
		if err := q.ForgetUser(ctx, id); err != nil {
			return err
		}
		if err := q.MarkUserDeleted(ctx, id); err != nil {
			return err
		}
		return ownerLeft(ctx, q, row)
	})
	if err != nil {
		return nil, fmt.Errorf("store: delete user %s: %w", id, kind(err))
	}
	return agents, nil
}
