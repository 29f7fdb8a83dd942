package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// sessionLifetime is how long a sign-in lasts. Whoever wants a token for
// longer makes one by name.
const sessionLifetime = 30 * 24 * time.Hour

type body[T any] struct{ Body T }

func (a *API) registerUsers(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "buildinfo", Method: http.MethodGet, Path: "/api/v1/buildinfo", Summary: "What this coordinator is",
	}, a.buildInfo)
	huma.Register(h, huma.Operation{
		OperationID: "create-first-user", Method: http.MethodPost, Path: "/api/v1/users/first",
		Summary: "Make the first user of an empty deployment, its owner", DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createFirstUser)
	huma.Register(h, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/api/v1/login", Summary: "Sign in with a password", MaxBodyBytes: maxBody,
	}, a.login)
	huma.Register(h, huma.Operation{
		OperationID: "logout", Method: http.MethodPost, Path: "/api/v1/logout", Summary: "Revoke the token of this request",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.logout)
	huma.Register(h, huma.Operation{
		OperationID: "me", Method: http.MethodGet, Path: "/api/v1/users/me", Summary: "The user of this token", Security: signedIn(),
	}, a.me)
}

func (a *API) buildInfo(ctx context.Context, _ *struct{}) (*body[sdk.BuildInfo], error) {
	has, err := a.Store.HasUsers(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.BuildInfo]{sdk.BuildInfo{Version: a.Version, HasUsers: has}}, nil
}

func (a *API) createFirstUser(ctx context.Context, in *body[sdk.FirstUser]) (*body[sdk.User], error) {
	if in.Body.Username == self {
		return nil, huma.Error422UnprocessableEntity("the name " + self + " is what everybody calls themselves; choose another")
	}
	// Cheap before dear: a deployment in use hashes no stranger's password.
	if has, err := a.Store.HasUsers(ctx); err != nil {
		return nil, a.problem(err)
	} else if has {
		return nil, errHasUsers
	}
	hash, err := a.Auth.HashPassword(ctx, in.Body.Password)
	if err != nil {
		return nil, a.problem(err)
	}
	u, err := a.Store.CreateFirstUser(ctx, store.NewUser{
		Username: in.Body.Username, Email: in.Body.Email, PasswordHash: hash, Role: store.RoleOwner,
	})
	if errors.Is(err, store.ErrConflict) {
		return nil, errHasUsers
	}
	if err != nil {
		return nil, a.problem(err)
	}
	a.Logger.Info("first user created", "user", u.Username)
	return &body[sdk.User]{userJSON(u)}, nil
}

var errHasUsers = huma.Error409Conflict("this deployment already has users; sign in instead")

func (a *API) login(ctx context.Context, in *body[sdk.Login]) (*body[sdk.Session], error) {
	u, err := a.Auth.CheckPassword(ctx, in.Body.Username, in.Body.Password)
	if errors.Is(err, auth.ErrUnauthenticated) {
		return nil, huma.Error401Unauthorized("wrong user name or password")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	expires := time.Now().Add(sessionLifetime)
	token, _, err := a.Auth.IssueToken(ctx, u.ID, "login", &expires)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Session]{sdk.Session{Token: token, User: userJSON(u)}}, nil
}

func (a *API) logout(ctx context.Context, _ *struct{}) (*struct{}, error) {
	who := caller(ctx)
	return nil, a.revoke(ctx, who.UserID, who.TokenID)
}

func (a *API) me(ctx context.Context, _ *struct{}) (*body[sdk.User], error) {
	u, err := a.Store.UserByID(ctx, caller(ctx).UserID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.User]{userJSON(u)}, nil
}

func (a *API) registerTokens(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/api/v1/tokens", Summary: "List API tokens", Security: signedIn(),
	}, a.listTokens)
	huma.Register(h, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: "/api/v1/tokens", Summary: "Make an API token",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createToken)
	huma.Register(h, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/api/v1/tokens/{id}", Summary: "Revoke an API token",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.revokeToken)
}

func (a *API) listTokens(ctx context.Context, in *Query) (*body[sdk.List[sdk.Token]], error) {
	tokens, err := a.Store.Tokens(ctx, caller(ctx).UserID)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.Token, 0, len(tokens))
	for _, t := range tokens {
		items = append(items, tokenJSON(t))
	}
	if items, err = named(items, in.Q, func(t sdk.Token) string { return t.Name }); err != nil {
		return nil, err
	}
	return slice(items, "tokens", in.Q, in.Page, func(t sdk.Token) string { return sortable(t.CreatedAt) + "/" + t.ID })
}

func (a *API) createToken(ctx context.Context, in *body[sdk.CreateToken]) (*body[sdk.CreatedToken], error) {
	var expires *time.Time
	if s := in.Body.Lifetime; s > 0 {
		at := time.Now().Add(time.Duration(s) * time.Second)
		expires = &at
	}
	text, t, err := a.Auth.IssueToken(ctx, caller(ctx).UserID, in.Body.Name, expires)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.CreatedToken]{sdk.CreatedToken{Token: tokenJSON(t), Text: text}}, nil
}

func (a *API) revokeToken(ctx context.Context, in *struct {
	ID string `path:"id" format:"uuid"`
}) (*struct{}, error) {
	id, err := uuid.Parse(in.ID)
	if err != nil {
		return nil, a.problem(store.ErrNotFound)
	}
	return nil, a.revoke(ctx, caller(ctx).UserID, id)
}

// revoke ends a token and what it has open.
func (a *API) revoke(ctx context.Context, userID, tokenID uuid.UUID) error {
	if err := a.Store.RevokeToken(ctx, userID, tokenID); err != nil {
		return a.problem(err)
	}
	a.Mesh.TokenRevoked(tokenID)
	return nil
}

func userJSON(u store.User) sdk.User {
	return sdk.User{ID: u.ID.String(), Username: u.Username, Email: u.Email, Role: string(u.Role), CreatedAt: u.CreatedAt}
}

func tokenJSON(t store.Token) sdk.Token {
	return sdk.Token{ID: t.ID.String(), Name: t.Name, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt}
}
