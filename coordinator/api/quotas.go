package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// QuotaPath names whose a quota is.
type QuotaPath struct {
	Kind string `path:"kind" enum:"users,groups" doc:"Whose quota it is"`
	Of   string `path:"of" maxLength:"64" doc:"Name of the user or the group"`
	InOrganization
}

// InOrganization says in which organization something is.
type InOrganization struct {
	Organization string `query:"organization" maxLength:"64" doc:"Name of the organization that it belongs to; the default one, or the only one that has it, unless set"`
}

// Quotas of people are for those who may change accounts: whoever may make somebody
// a user may say what they use. Those of groups, which hold in their organization,
// are for those who may change the groups there.
func (a *API) registerQuotas(h huma.API) {
	const quota, favourite = "/api/v1/quotas/{kind}/{of}", "/api/v1/workspaces/{owner}/{name}/favourite"
	huma.Register(h, huma.Operation{
		OperationID: "my-quota", Method: http.MethodGet, Path: "/api/v1/quota", Summary: "What the caller's workspaces cost, and how much they may", Security: signedIn(),
	}, a.myQuota)
	huma.Register(h, huma.Operation{
		OperationID: "list-quotas", Method: http.MethodGet, Path: "/api/v1/quotas", Summary: "List quotas", Security: signedIn(),
	}, a.listQuotas)
	huma.Register(h, huma.Operation{
		OperationID: "get-quota", Method: http.MethodGet, Path: quota, Summary: "Show a quota", Security: signedIn(),
	}, a.getQuota)
	huma.Register(h, huma.Operation{
		OperationID: "set-quota", Method: http.MethodPut, Path: quota, Summary: "Set the quota of a user, or of each member of a group",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.setQuota)
	huma.Register(h, huma.Operation{
		OperationID: "delete-quota", Method: http.MethodDelete, Path: quota, Summary: "End a quota", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteQuota)
	huma.Register(h, huma.Operation{
		OperationID: "add-favourite", Method: http.MethodPut, Path: favourite, Summary: "Put a workspace among the caller's favourites",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *WorkspacePath) (*struct{}, error) { return nil, a.favour(ctx, in, true) })
	huma.Register(h, huma.Operation{
		OperationID: "remove-favourite", Method: http.MethodDelete, Path: favourite, Summary: "Take a workspace out of the caller's favourites",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *WorkspacePath) (*struct{}, error) { return nil, a.favour(ctx, in, false) })
}

func (a *API) myQuota(ctx context.Context, in *InOrganization) (*body[sdk.Usage], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Account); err != nil {
		return nil, err
	}
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	u, err := a.Store.UsageOf(ctx, caller(ctx).UserID, o.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	out := sdk.Usage{Used: u.Used}
	if u.Budget >= 0 {
		out.Budget = &u.Budget
	}
	return &body[sdk.Usage]{out}, nil
}

func (a *API) listQuotas(ctx context.Context, in *Page) (*body[sdk.List[sdk.Quota]], error) {
	people := auth.Allowed(caller(ctx), auth.List, auth.Object{Type: auth.Account})
	groups := within(ctx, auth.List, auth.Group)
	if !people && !groups.Everywhere && len(groups.Organizations) == 0 {
		return nil, a.allowAny(ctx, auth.List, auth.Account)
	}
	return paged(a, Query{Page: *in}, "quotas", "", 3,
		func(p store.Page) ([]store.Quota, error) { return a.Store.Quotas(ctx, people, groups, p) },
		func(q store.Quota) []string { return []string{strconv.FormatBool(q.Group), q.Organization, q.Name} }, quotaJSON)
}

func quotaJSON(q store.Quota) sdk.Quota {
	if q.Group {
		return sdk.Quota{Group: q.Name, Organization: q.Organization, Budget: q.Budget}
	}
	return sdk.Quota{User: q.Name, Budget: q.Budget}
}

// quotaOf finds whose quota the caller may do something with, and the name of the
// group's organization.
func (a *API) quotaOf(ctx context.Context, action auth.Action, in *QuotaPath) (of store.QuotaOf, organization string, err error) {
	of = store.QuotaOf{Name: in.Of, Group: in.Kind == "groups"}
	on := auth.Object{Type: auth.Account}
	if of.Group {
		o, err := a.organization(ctx, in.Organization)
		if err != nil {
			return of, "", err
		}
		of.OrganizationID, organization = o.ID, o.Name
		on = auth.Object{Type: auth.Group, Organization: o.ID}
	}
	// Whose it is is for the audit log; whether there are such is not told.
	if on.ID, err = a.quotaHolder(ctx, of); err != nil {
		return of, "", err
	}
	if on.ID != uuid.Nil {
		on.Name = of.Name
	}
	if err := a.allow(ctx, action, on); err != nil {
		return of, "", err
	}
	if !isText(in.Of) {
		return of, "", a.problem(store.ErrNotFound)
	}
	return of, organization, nil
}

// quotaHolder is the user or group whose quota it is; zero if there is none.
func (a *API) quotaHolder(ctx context.Context, of store.QuotaOf) (uuid.UUID, error) {
	if !isText(of.Name) {
		return uuid.Nil, nil
	}
	var id uuid.UUID
	var err error
	if of.Group {
		var g store.Group
		g, err = a.Store.GroupByName(ctx, of.OrganizationID, of.Name)
		id = g.ID
	} else {
		var u store.User
		u, err = a.Store.UserByName(ctx, of.Name)
		id = u.ID
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return uuid.Nil, a.problem(err)
	}
	return id, nil
}

func (a *API) getQuota(ctx context.Context, in *QuotaPath) (*tagged[sdk.Quota], error) {
	of, organization, err := a.quotaOf(ctx, auth.List, in)
	if err != nil {
		return nil, err
	}
	q, err := a.Store.Quota(ctx, of)
	if err != nil {
		return nil, a.problem(err)
	}
	q.Organization = organization
	return &tagged[sdk.Quota]{version(q.Version), quotaJSON(q)}, nil
}

func (a *API) setQuota(ctx context.Context, in *struct {
	QuotaPath
	IfMatch
	Body sdk.SetQuota
}) (*struct{}, error) {
	of, _, err := a.quotaOf(ctx, auth.Update, &in.QuotaPath)
	if err != nil {
		return nil, err
	}
	err = a.Store.SetQuota(ctx, of, in.Body.Budget, in.versions())
	if errors.Is(err, store.ErrNotFound) {
		return nil, huma.Error404NotFound("there is nobody of that name")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) deleteQuota(ctx context.Context, in *struct {
	QuotaPath
	IfMatch
}) (*struct{}, error) {
	of, _, err := a.quotaOf(ctx, auth.Update, &in.QuotaPath)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteQuota(ctx, of, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) favour(ctx context.Context, in *WorkspacePath, is bool) error {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return err
	}
	if err := a.allowOwn(ctx, auth.Update, auth.Account); err != nil {
		return err // favourites are the caller's, not the workspace's
	}
	if err := a.Store.SetFavourite(ctx, caller(ctx).UserID, w.ID, is); err != nil {
		return a.problem(err)
	}
	return nil
}
