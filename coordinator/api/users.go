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

type body[T any] struct{ Body T }

// UserPath names a user; "me" is the caller.
type UserPath struct {
	User string `path:"user" maxLength:"64"`
}

func (a *API) registerUsers(h huma.API) {
	const users, user = "/api/v1/users", "/api/v1/users/{user}"
	huma.Register(h, huma.Operation{
		OperationID: "buildinfo", Method: http.MethodGet, Path: "/api/v1/buildinfo", Summary: "What this coordinator is",
	}, a.buildInfo)
	huma.Register(h, huma.Operation{
		OperationID: "create-first-user", Method: http.MethodPost, Path: users + "/first", Middlewares: a.limited(),
		Summary: "Make the first user of an empty deployment, its owner", DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createFirstUser)
	huma.Register(h, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: users, Summary: "List users", Security: signedIn(),
	}, a.listUsers)
	huma.Register(h, huma.Operation{
		OperationID: "create-user", Method: http.MethodPost, Path: users, Summary: "Make a user",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createUser)
	huma.Register(h, huma.Operation{
		OperationID: "get-user", Method: http.MethodGet, Path: user, Summary: "Show a user; me is the user of this token", Security: signedIn(),
	}, a.getUser)
	huma.Register(h, huma.Operation{
		OperationID: "change-user", Method: http.MethodPatch, Path: user, Summary: "Change a user's address or role, or keep them out",
		Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.changeUser)
	huma.Register(h, huma.Operation{
		OperationID: "change-password", Method: http.MethodPut, Path: user + "/password",
		Summary:  "Set a user's password, and end whatever else they have open",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.changePassword)
	huma.Register(h, huma.Operation{
		OperationID: "delete-user", Method: http.MethodDelete, Path: user,
		Summary:  "Delete a user with their tokens and external workspaces; there must be no workspaces of theirs from templates",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteUser)
}

func (a *API) buildInfo(ctx context.Context, _ *struct{}) (*body[sdk.BuildInfo], error) {
	has, err := a.Store.HasUsers(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.BuildInfo]{sdk.BuildInfo{Version: a.Version, HasUsers: has}}, nil
}

// reserved are names that paths have for something else.
func reserved(name string) error {
	if name == self || name == "first" {
		return huma.Error422UnprocessableEntity("the name " + name + " is taken by adit itself; choose another")
	}
	return nil
}

func (a *API) createFirstUser(ctx context.Context, in *body[sdk.FirstUser]) (*body[sdk.User], error) {
	if err := reserved(in.Body.Username); err != nil {
		return nil, err
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
	a.Logger.InfoContext(ctx, "first user created", "user", u.Username)
	return &body[sdk.User]{userJSON(u)}, nil
}

var errHasUsers = huma.Error409Conflict("this deployment already has users; sign in instead")

// accountOf is what kind of account a role makes.
func accountOf(role store.Role) auth.Resource {
	if role == store.RoleMember {
		return auth.Account
	}
	return auth.AdminAccount
}

func accountObject(u store.User) auth.Object {
	on := anyAccount(u, u.Role)
	on.Instance, on.Owner = true, u.ID
	return on
}

// anyAccount is an account with a role, for who may do something with everybody's.
func anyAccount(u store.User, role store.Role) auth.Object {
	return auth.Object{Type: accountOf(role), ID: u.ID, Name: u.Username}
}

// user finds a user whom the caller may see.
func (a *API) user(ctx context.Context, name string) (store.User, error) {
	if !isText(name) {
		return store.User{}, a.problem(store.ErrNotFound)
	}
	if name == self {
		name = caller(ctx).Username
	}
	u, err := a.Store.UserByName(ctx, name)
	if err != nil {
		return u, a.problem(err)
	}
	return u, a.allow(ctx, auth.Read, accountObject(u))
}

func (a *API) listUsers(ctx context.Context, in *Query) (*body[sdk.List[sdk.User]], error) {
	who := caller(ctx)
	q := store.UserQuery{
		Members:        auth.Allowed(who, auth.Read, auth.Object{Type: auth.Account}),
		Administrators: auth.Allowed(who, auth.Read, auth.Object{Type: auth.AdminAccount}),
	}
	if auth.Allowed(who, auth.Read, auth.Object{Type: accountOf(who.Role), Owner: who.UserID}) {
		q.Own = who.UserID
	}
	return paged(a, *in, "users", "", 1, func(p store.Page) ([]store.User, error) {
		q.Page = p
		return a.Store.Users(ctx, q)
	}, func(u store.User) []string { return []string{u.Username} }, userJSON)
}

func (a *API) createUser(ctx context.Context, in *body[sdk.CreateUser]) (*body[sdk.User], error) {
	role := store.Role(in.Body.Role)
	if role == "" {
		role = store.RoleMember
	}
	if err := a.allowAny(ctx, auth.Create, accountOf(role)); err != nil {
		return nil, err
	}
	if err := reserved(in.Body.Username); err != nil {
		return nil, err
	}
	n := store.NewUser{Username: in.Body.Username, Email: in.Body.Email, Role: role}
	if in.Body.Password != "" {
		var err error
		if n.PasswordHash, err = a.Auth.HashPassword(ctx, in.Body.Password); err != nil {
			return nil, a.problem(err)
		}
	}
	u, err := a.Store.CreateUser(ctx, n)
	if errors.Is(err, store.ErrConflict) {
		return nil, huma.Error409Conflict("there is a user of that name or address already")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	a.Logger.Info("user created", "user", u.Username, "role", u.Role, "by", caller(ctx).Username)
	return &body[sdk.User]{userJSON(u)}, nil
}

func (a *API) getUser(ctx context.Context, in *UserPath) (*tagged[sdk.User], error) {
	u, err := a.user(ctx, in.User)
	if err != nil {
		return nil, err
	}
	return &tagged[sdk.User]{version(u.Version), userJSON(u)}, nil
}

// changeUser is for administrators alone, oneself too: an address that nobody
// has checked must not become that by which a provider's user is recognized.
func (a *API) changeUser(ctx context.Context, in *struct {
	UserPath
	IfMatch
	Body sdk.ChangeUser
}) (*tagged[sdk.User], error) {
	u, err := a.user(ctx, in.User)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Update, anyAccount(u, u.Role)); err != nil {
		return nil, err
	}
	if in.Body.Role != nil {
		if err := a.allow(ctx, auth.Create, anyAccount(u, store.Role(*in.Body.Role))); err != nil {
			return nil, err
		}
	}
	changed, err := a.Store.ChangeUser(ctx, u.ID, func(now *store.User) error {
		if now.Role != u.Role { // another change came first, and this may be none of the caller's business any more
			return store.ErrBusy
		}
		if err := in.check(now.Version); err != nil {
			return err
		}
		if in.Body.Email != nil {
			now.Email = *in.Body.Email
		}
		if in.Body.Role != nil {
			now.Role = store.Role(*in.Body.Role)
		}
		switch s := in.Body.Suspended; {
		case s != nil && !*s:
			now.SuspendedAt = nil
		case s != nil && now.SuspendedAt == nil:
			now.SuspendedAt = new(time.Now())
		}
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		return nil, huma.Error409Conflict("another user has that address")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	if changed.SuspendedAt != nil {
		a.cutOff(u.ID)
	}
	a.Logger.Info("user changed", "user", u.Username, "role", changed.Role, "suspended", changed.SuspendedAt != nil, "by", caller(ctx).Username)
	return &tagged[sdk.User]{version(changed.Version), userJSON(changed)}, nil
}

func (a *API) changePassword(ctx context.Context, in *struct {
	UserPath
	IfMatch
	Body sdk.ChangePassword
}) (*struct{}, error) {
	u, err := a.user(ctx, in.User)
	if err != nil {
		return nil, err
	}
	if err := in.check(u.Version); err != nil {
		return nil, a.problem(err)
	}
	who := caller(ctx)
	if u.ID != who.UserID {
		err = a.allow(ctx, auth.Update, anyAccount(u, u.Role))
	} else if err = a.allow(ctx, auth.Update, accountObject(u)); err == nil {
		// Whoever finds a terminal unlocked must not take the account with it.
		_, err = a.Auth.CheckPassword(ctx, u.Username, in.Body.Old)
		if errors.Is(err, auth.ErrUnauthenticated) {
			return nil, huma.Error403Forbidden("the old password is wrong; if there is none, ask an administrator to set one")
		}
		if err != nil {
			err = a.problem(err)
		}
	}
	if err != nil {
		return nil, err
	}
	hash, err := a.Auth.HashPassword(ctx, in.Body.Password)
	if err != nil {
		return nil, a.problem(err)
	}
	if _, err := a.Store.ChangeUser(ctx, u.ID, func(now *store.User) error {
		if now.Role != u.Role {
			return store.ErrBusy
		}
		now.PasswordHash = hash
		return in.check(now.Version)
	}); err != nil {
		return nil, a.problem(err)
	}
	// Whoever knew the old one may have made tokens with it.
	revoked, err := a.Store.RevokeTokensBut(ctx, u.ID, who.TokenID)
	if err != nil {
		return nil, a.problem(err)
	}
	for _, id := range revoked {
		a.Mesh.TokenRevoked(id)
		a.streams.endToken(id)
	}
	a.Logger.Info("password changed", "user", u.Username, "by", who.Username, "tokens_revoked", len(revoked))
	return nil, nil
}

func (a *API) deleteUser(ctx context.Context, in *UserPath) (*struct{}, error) {
	u, err := a.user(ctx, in.User)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Delete, anyAccount(u, u.Role)); err != nil {
		return nil, err
	}
	agents, err := a.Store.DeleteUser(ctx, u.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	a.cutOff(u.ID)
	for _, id := range agents {
		a.Mesh.AgentDeleted(id)
	}
	a.Logger.Info("user deleted", "user", u.Username, "by", caller(ctx).Username)
	return nil, nil
}

// cutOff ends whatever a user has open.
func (a *API) cutOff(id uuid.UUID) {
	a.Mesh.UserRevoked(id)
	a.streams.endUser(id)
}

func userJSON(u store.User) sdk.User {
	return sdk.User{
		ID: u.ID.String(), Username: u.Username, Email: u.Email, Role: string(u.Role), CreatedAt: u.CreatedAt, SuspendedAt: u.SuspendedAt,
	}
}
