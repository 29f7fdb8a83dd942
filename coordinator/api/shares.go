package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// ShareUserPath names a user whom a workspace is shared with, and ShareGroupPath
// a group.
type ShareUserPath struct {
	WorkspacePath
	User string `path:"user" maxLength:"64"`
}

type ShareGroupPath struct {
	WorkspacePath
	Group string `path:"group" maxLength:"64"`
}

func (a *API) registerShares(h huma.API) {
	const shares = "/api/v1/workspaces/{owner}/{name}/shares"
	huma.Register(h, huma.Operation{
		OperationID: "list-shared-workspaces", Method: http.MethodGet, Path: "/api/v1/shared-workspaces",
		Summary: "List the workspaces that others share with the caller", Security: signedIn(),
	}, a.listShared)
	huma.Register(h, huma.Operation{
		OperationID: "list-shares", Method: http.MethodGet, Path: shares, Summary: "List whom a workspace is shared with", Security: signedIn(),
	}, a.listShares)
	huma.Register(h, huma.Operation{
		OperationID: "share-with-user", Method: http.MethodPut, Path: shares + "/users/{user}", Summary: "Let a user into a workspace",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, func(ctx context.Context, in *struct {
		ShareUserPath
		Body sdk.SetShare
	}) (*struct{}, error) {
		return nil, a.share(ctx, &in.WorkspacePath, in.User, false, in.Body.Level)
	})
	huma.Register(h, huma.Operation{
		OperationID: "share-with-group", Method: http.MethodPut, Path: shares + "/groups/{group}", Summary: "Let a group into a workspace",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, func(ctx context.Context, in *struct {
		ShareGroupPath
		Body sdk.SetShare
	}) (*struct{}, error) {
		return nil, a.share(ctx, &in.WorkspacePath, in.Group, true, in.Body.Level)
	})
	huma.Register(h, huma.Operation{
		OperationID: "unshare-with-user", Method: http.MethodDelete, Path: shares + "/users/{user}",
		Summary: "Let a user into a workspace no longer", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *ShareUserPath) (*struct{}, error) {
		return nil, a.unshare(ctx, &in.WorkspacePath, in.User, false)
	})
	huma.Register(h, huma.Operation{
		OperationID: "unshare-with-group", Method: http.MethodDelete, Path: shares + "/groups/{group}",
		Summary: "Let a group into a workspace no longer", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *ShareGroupPath) (*struct{}, error) {
		return nil, a.unshare(ctx, &in.WorkspacePath, in.Group, true)
	})
}

func (a *API) listShared(ctx context.Context, _ *struct{}) (*body[sdk.List[sdk.Workspace]], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Workspace); err != nil {
		return nil, err
	}
	who := caller(ctx)
	list, levels, err := a.Store.SharedWith(ctx, who.UserID)
	if err != nil {
		return nil, a.problem(err)
	}
	seen := list[:0]
	for _, w := range list {
		on := workspaceObject(w)
		on.Grant = auth.Grant(levels[w.ID])
		if auth.Allowed(who, auth.Read, on) {
			seen = append(seen, w)
		}
	}
	items, err := a.describe(ctx, seen...)
	if err != nil {
		return nil, a.problem(err)
	}
	for i, w := range seen {
		items[i].Shared = levels[w.ID]
	}
	return &body[sdk.List[sdk.Workspace]]{sdk.List[sdk.Workspace]{Items: items}}, nil
}

func (a *API) listShares(ctx context.Context, in *WorkspacePath) (*body[sdk.List[sdk.Share]], error) {
	w, err := a.find(ctx, auth.Share, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	list, err := a.Store.Shares(ctx, w.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.Share, 0, len(list))
	for _, s := range list {
		j := sdk.Share{User: s.Name, Level: s.Level, By: s.By, Since: s.CreatedAt}
		if s.Group {
			j.User, j.Group = "", s.Name
		}
		items = append(items, j)
	}
	return &body[sdk.List[sdk.Share]]{sdk.List[sdk.Share]{Items: items}}, nil
}

func (a *API) share(ctx context.Context, in *WorkspacePath, with string, group bool, level string) error {
	w, err := a.find(ctx, auth.Share, in.Owner, in.Name)
	if err != nil {
		return err
	}
	kind := "user"
	if group {
		kind = "group"
	}
	err = store.ErrNotFound
	if isText(with) {
		err = a.Store.Share(ctx, store.ShareWith{WorkspaceID: w.ID, Name: with, Group: group}, level, caller(ctx).UserID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return huma.Error422UnprocessableEntity("the workspace's organization has no other " + kind + " " + foreign.Printable(with))
	}
	if err != nil {
		return a.problem(err)
	}
	return nil
}

func (a *API) unshare(ctx context.Context, in *WorkspacePath, with string, group bool) error {
	w, err := a.find(ctx, auth.Share, in.Owner, in.Name)
	if err != nil {
		return err
	}
	err = store.ErrNotFound
	if isText(with) {
		err = a.Store.Unshare(ctx, store.ShareWith{WorkspaceID: w.ID, Name: with, Group: group})
	}
	if err != nil {
		return a.problem(err)
	}
	return nil
}
