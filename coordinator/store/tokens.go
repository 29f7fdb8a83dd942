package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Token is an API token. Its secret is kept as a hash only.
type Token struct {
	ID, UserID uuid.UUID
	Name       string
	SecretHash []byte
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // nil: not yet; to the minute
	Scopes     []string   // none is everything that the user may do
	Kind       TokenKind
}

// TokenKind says what a token was made for.
type TokenKind string

const (
	// TokenNamed is one that somebody made by name, TokenLogin a command line's
	// that signed in, and TokenBrowser a browser's session.
	TokenNamed   TokenKind = "token"
	TokenLogin   TokenKind = "login"
	TokenBrowser TokenKind = "browser"
)

// NewToken is what a token starts from.
type NewToken struct {
	UserID     uuid.UUID
	Name       string
	SecretHash []byte
	ExpiresAt  *time.Time // nil: never
	Scopes     []string   // none is everything that the user may do
	Kind       TokenKind  // empty is TokenNamed
}

// LiveToken is a token that is good, and what its user is.
type LiveToken struct {
	Token
	Username      string
	Role          Role
	Organizations map[uuid.UUID]Role // that the user is in
}

func tokenFrom(t db.ApiToken) Token {
	return Token{
		ID: t.ID, UserID: t.UserID, Name: t.Name, SecretHash: t.SecretHash,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, Scopes: t.Scopes, Kind: TokenKind(t.Kind),
	}
}

// CreateToken makes a token; ErrNotFound if its user is suspended or deleted.
func (s *Store) CreateToken(ctx context.Context, n NewToken) (Token, error) {
	if n.Kind == "" {
		n.Kind = TokenNamed
	}
	if n.Scopes == nil {
		n.Scopes = []string{}
	}
	t, err := oneTx(ctx, s, "create token", func(ctx context.Context, q *db.Queries) (db.ApiToken, error) {
		return q.InsertToken(ctx, db.InsertTokenParams{
			UserID: n.UserID, Name: n.Name, SecretHash: n.SecretHash, ExpiresAt: n.ExpiresAt, Scopes: n.Scopes, Kind: string(n.Kind),
		})
	})
	return tokenFrom(t), err
}

// Token finds a token that is neither revoked nor expired, whosever it is.
func (s *Store) Token(ctx context.Context, id uuid.UUID) (Token, error) {
	t, err := one(ctx, "token "+id.String(), func(ctx context.Context) (db.ApiToken, error) { return s.q.TokenByID(ctx, id) })
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

// Tokens lists a user's live tokens, oldest first: by time and id.
func (s *Store) Tokens(ctx context.Context, userID uuid.UUID, p Page) ([]Token, error) {
	rows, err := one(ctx, "tokens of user "+userID.String(), func(ctx context.Context) ([]db.ApiToken, error) {
		at, id, err := p.afterTime()
		if err != nil {
			return nil, err
		}
		return s.q.TokensOfUser(ctx, db.TokensOfUserParams{UserID: userID, AfterAt: at, AfterID: id, Name: p.Name, Max: int32(p.Max)})
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

// RevokeTokensBut ends all of a user's tokens but one, and returns them. The
// zero id spares none.
func (s *Store) RevokeTokensBut(ctx context.Context, userID, keep uuid.UUID) ([]uuid.UUID, error) {
	return one(ctx, "revoke tokens of user "+userID.String(), func(ctx context.Context) ([]uuid.UUID, error) {
		return s.q.RevokeTokensBut(ctx, db.RevokeTokensButParams{UserID: userID, Keep: keep})
	})
}
