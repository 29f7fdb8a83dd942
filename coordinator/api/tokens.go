package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

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

func (a *API) listTokens(ctx context.Context, in *struct {
	Query
	User string `query:"user" default:"me" maxLength:"64" doc:"Whose"`
}) (*body[sdk.List[sdk.Token]], error) {
	who := caller(ctx).UserID
	if in.User != self {
		u, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		who = u.ID
	}
	if err := a.allow(ctx, auth.Read, auth.Object{Type: auth.Token, Owner: who}); err != nil {
		return nil, err
	}
	return paged(a, in.Query, "tokens", who.String(), 2,
		func(p store.Page) ([]store.Token, error) { return a.Store.Tokens(ctx, who, p) },
		func(t store.Token) []string { return []string{store.TimeKey(t.CreatedAt), t.ID.String()} }, tokenJSON)
}

func (a *API) createToken(ctx context.Context, in *body[sdk.CreateToken]) (*body[sdk.CreatedToken], error) {
	who := caller(ctx)
	if err := a.allow(ctx, auth.Create, auth.Object{Type: auth.Token, Owner: who.UserID}); err != nil {
		return nil, err
	}
	scopes, err := auth.ParseScopes(in.Body.Scopes)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	if !scopes.Within(who.Scopes) {
		return nil, huma.Error403Forbidden("a token cannot make one that may do more than itself")
	}
	expires, err := a.expiry(time.Duration(in.Body.Lifetime) * time.Second)
	if err != nil {
		return nil, err
	}
	text, t, err := a.Auth.Issue(ctx, store.NewToken{UserID: who.UserID, Name: in.Body.Name, ExpiresAt: expires, Scopes: scopes})
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
	t, err := a.Store.Token(ctx, id)
	if err != nil {
		return nil, a.problem(err)
	}
	if err := a.allow(ctx, auth.Delete, auth.Object{Type: auth.Token, Instance: true, ID: t.ID, Name: t.Name, Owner: t.UserID}); err != nil {
		return nil, err
	}
	return nil, a.revoke(ctx, t.UserID, id)
}

// expiry returns when a token of a lifetime expires; nil is never. Zero is as
// long as may be.
func (a *API) expiry(lifetime time.Duration) (*time.Time, error) {
	switch longest := a.MaxTokenLifetime; {
	case longest > 0 && lifetime > longest:
		return nil, huma.Error422UnprocessableEntity("tokens last for " + longest.String() + " at most here")
	case lifetime == 0:
		lifetime = longest
	}
	if lifetime == 0 {
		return nil, nil
	}
	return new(time.Now().Add(lifetime)), nil
}

// revoke ends a token and what it has open.
func (a *API) revoke(ctx context.Context, userID, tokenID uuid.UUID) error {
	if err := a.Store.RevokeToken(ctx, userID, tokenID); err != nil {
		return a.problem(err)
	}
	a.Mesh.TokenRevoked(tokenID)
	a.streams.endToken(tokenID)
	return nil
}

func tokenJSON(t store.Token) sdk.Token {
	return sdk.Token{
		ID: t.ID.String(), Name: t.Name, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt,
		Scopes: t.Scopes, Kind: string(t.Kind),
	}
}
