package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// QuotaPath names whose a quota is.
type QuotaPath struct {
	Kind string `path:"kind" enum:"users,groups" doc:"Whose quota it is"`
	Of   string `path:"of" maxLength:"64" doc:"Name of the user, or of a group of the default organization"`
}

// Quotas are for those who may change accounts: whoever may make somebody a user
// may say what they use.
func (a *API) registerQuotas(h huma.API) {
	const quota, favourite = "/api/v1/quotas/{kind}/{of}", "/api/v1/workspaces/{owner}/{name}/favourite"
	huma.Register(h, huma.Operation{
		OperationID: "my-quota", Method: http.MethodGet, Path: "/api/v1/quota", Summary: "What the caller's workspaces cost, and how much they may", Security: signedIn(),
	}, a.myQuota)
	huma.Register(h, huma.Operation{
		OperationID: "list-quotas", Method: http.MethodGet, Path: "/api/v1/quotas", Summary: "List quotas", Security: signedIn(),
	}, a.listQuotas)
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

func (a *API) myQuota(ctx context.Context, _ *struct{}) (*body[sdk.Usage], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Account); err != nil {
		return nil, err
	}
	u, err := a.Store.UsageOf(ctx, caller(ctx).UserID)
	if err != nil {
		return nil, a.problem(err)
	}
	out := sdk.Usage{Used: u.Used}
	if u.Budget >= 0 {
		out.Budget = &u.Budget
	}
	return &body[sdk.Usage]{out}, nil
}

func (a *API) listQuotas(ctx context.Context, _ *struct{}) (*body[sdk.List[sdk.Quota]], error) {
	if err := a.allowAny(ctx, auth.List, auth.Account); err != nil {
		return nil, err
	}
	list, err := a.Store.Quotas(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.Quota, 0, len(list))
	for _, q := range list {
		j := sdk.Quota{User: q.Name, Budget: q.Budget}
		if q.Group {
			j.User, j.Group = "", q.Name
		}
		items = append(items, j)
	}
	return &body[sdk.List[sdk.Quota]]{sdk.List[sdk.Quota]{Items: items}}, nil
}

func (a *API) setQuota(ctx context.Context, in *struct {
	QuotaPath
	Body sdk.SetQuota
}) (*struct{}, error) {
	if err := a.allowAny(ctx, auth.Update, auth.Account); err != nil {
		return nil, err
	}
	err := store.ErrNotFound
	if isText(in.Of) {
		err = a.Store.SetQuota(ctx, store.Quota{Name: in.Of, Group: in.Kind == "groups", Budget: in.Body.Budget})
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, huma.Error404NotFound("there is nobody of that name")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) deleteQuota(ctx context.Context, in *QuotaPath) (*struct{}, error) {
	if err := a.allowAny(ctx, auth.Update, auth.Account); err != nil {
		return nil, err
	}
	err := store.ErrNotFound
	if isText(in.Of) {
		err = a.Store.DeleteQuota(ctx, in.Of, in.Kind == "groups")
	}
	if err != nil {
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
