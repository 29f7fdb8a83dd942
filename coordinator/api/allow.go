package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
)

// allow returns an error unless the caller may do something. What they may not
// even see is answered as if it did not exist.
func (a *API) allow(ctx context.Context, action auth.Action, on auth.Object) error {
	who := caller(ctx)
	if auth.Allowed(who, action, on) {
		return nil
	}
	if r, ok := ctx.Value(refusalKey{}).(*refusedAct); ok {
		*r = refusedAct{action, on}
	}
	if on.Instance && !auth.Allowed(who, auth.Read, on) {
		return a.problem(store.ErrNotFound)
	}
	unscoped := who
	unscoped.Scopes = nil
	if auth.Allowed(unscoped, action, on) {
		return huma.Error403Forbidden("this token's scopes do not hold " + string(on.Type) + ":" + string(action))
	}
	if on.Grant != auth.NoGrant {
		return huma.Error403Forbidden("the workspace is shared with you at level " + string(on.Grant) + ", which does not let you do that (" +
			string(on.Type) + ":" + string(action) + "); ask its owner")
	}
	return huma.Error403Forbidden(auth.Holders(action, on.Type) + " may do that (" + string(on.Type) + ":" + string(action) + ")")
}

// allowOwn is allow on what is the caller's own of a type: their token has to be
// for it.
func (a *API) allowOwn(ctx context.Context, action auth.Action, of auth.Resource) error {
	return a.allow(ctx, action, auth.Object{Type: of, Owner: caller(ctx).UserID})
}

// allowAny is allow on all things of a type.
func (a *API) allowAny(ctx context.Context, action auth.Action, of auth.Resource) error {
	return a.allow(ctx, action, auth.Object{Type: of})
}

// newWorkspace is a workspace that somebody would make in an organization.
func newWorkspace(owner, organization uuid.UUID) auth.Object {
	return auth.Object{Type: auth.Workspace, Owner: owner, Organization: organization}
}

func workspaceObject(w store.Workspace) auth.Object {
	return auth.Object{Type: auth.Workspace, Instance: true, ID: w.ID, Name: w.Name, Owner: w.OwnerID, Organization: w.OrganizationID}
}

func templateObject(t store.Template) auth.Object {
	return auth.Object{Type: auth.Template, Instance: true, ID: t.ID, Name: t.Name, Organization: t.OrganizationID}
}
