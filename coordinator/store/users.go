package store

import (
	"context"
	"encoding/json"
	"fmt"
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
	PasswordHash    string
	Role            Role
	CreatedAt       time.Time
}

// NewUser is what a user starts from.
type NewUser struct {
	Username, Email, PasswordHash string
	Role                          Role
}

// Token is an API token. Its secret is kept as a hash only.
type Token struct {
	ID, UserID uuid.UUID
	Name       string
	SecretHash []byte
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // nil: not yet; to the minute
	Scopes     []string   // none is everything that the user may do
}

// LiveToken is a token that is good, and what its user is.
type LiveToken struct {
	Token
	Username      string
	Role          Role
	Organizations map[uuid.UUID]Role // that the user is in
}

func userFrom(u db.User) User {
	return User{
		ID: u.ID, Username: u.Username, Email: u.Email, PasswordHash: u.PasswordHash,
		Role: Role(u.Role), CreatedAt: u.CreatedAt,
	}
}

func tokenFrom(t db.ApiToken) Token {
	return Token{
		ID: t.ID, UserID: t.UserID, Name: t.Name, SecretHash: t.SecretHash,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, Scopes: t.Scopes,
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
		n, err := q.CountUsers(ctx)
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
	n, err := one(ctx, "count users", s.q.CountUsers)
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

// CreateToken makes an API token; a nil expiry is never.
func (s *Store) CreateToken(ctx context.Context, userID uuid.UUID, name string, secretHash []byte, expires *time.Time) (Token, error) {
	t, err := oneTx(ctx, s, "create token", func(ctx context.Context, q *db.Queries) (db.ApiToken, error) {
		return q.InsertToken(ctx, db.InsertTokenParams{UserID: userID, Name: name, SecretHash: secretHash, ExpiresAt: expires})
	})
	return tokenFrom(t), err
}

// LiveToken finds a token that is neither revoked nor expired, of a user who is
// neither suspended nor deleted.
func (s *Store) LiveToken(ctx context.Context, id uuid.UUID) (LiveToken, error) {
	r, err := one(ctx, "token "+id.String(), func(ctx context.Context) (db.LiveTokenRow, error) { return s.q.LiveToken(ctx, id) })
	if err != nil {
		return LiveToken{}, err
	}
	t := LiveToken{Token: tokenFrom(r.ApiToken), Username: r.Username, Role: Role(r.Role)}
	if err := json.Unmarshal(r.Organizations, &t.Organizations); err != nil {
		return LiveToken{}, fmt.Errorf("store: organizations of the user of token %s: %w", id, err)
	}
	return t, nil
}

// TouchToken notes that a token was used, at most once a minute.
func (s *Store) TouchToken(ctx context.Context, id uuid.UUID) error {
	return do(ctx, "touch token "+id.String(), func(ctx context.Context) error { return s.q.TouchToken(ctx, id) })
}

// Tokens lists a user's live tokens, oldest first.
func (s *Store) Tokens(ctx context.Context, userID uuid.UUID) ([]Token, error) {
	rows, err := one(ctx, "tokens of user "+userID.String(), func(ctx context.Context) ([]db.ApiToken, error) {
		return s.q.TokensOfUser(ctx, userID)
	})
	tokens := make([]Token, 0, len(rows))
	for _, t := range rows {
		tokens = append(tokens, tokenFrom(t))
	}
	return tokens, err
}

// RevokeToken ends one of a user's tokens.
func (s *Store) RevokeToken(ctx context.Context, userID, id uuid.UUID) error {
	return affected(ctx, "revoke token "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.RevokeToken(ctx, db.RevokeTokenParams{ID: id, UserID: userID})
	})
}
