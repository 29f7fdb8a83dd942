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
		IfMatch
		Body sdk.SetShare
	}) (*struct{}, error) {
		return nil, a.share(ctx, &in.WorkspacePath, in.IfMatch, in.User, false, in.Body.Level)
	})
	huma.Register(h, huma.Operation{
		OperationID: "share-with-group", Method: http.MethodPut, Path: shares + "/groups/{group}", Summary: "Let a group into a workspace",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, func(ctx context.Context, in *struct {
		ShareGroupPath
		IfMatch
		Body sdk.SetShare
	}) (*struct{}, error) {
		return nil, a.share(ctx, &in.WorkspacePath, in.IfMatch, in.Group, true, in.Body.Level)
	})
	huma.Register(h, huma.Operation{
		OperationID: "unshare-with-user", Method: http.MethodDelete, Path: shares + "/users/{user}",
		Summary: "Let a user into a workspace no longer", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		ShareUserPath
		IfMatch
	}) (*struct{}, error) {
		return nil, a.unshare(ctx, &in.WorkspacePath, in.IfMatch, in.User, false)
	})
	huma.Register(h, huma.Operation{
		OperationID: "unshare-with-group", Method: http.MethodDelete, Path: shares + "/groups/{group}",
		Summary: "Let a group into a workspace no longer", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		ShareGroupPath
		IfMatch
	}) (*struct{}, error) {
		return nil, a.unshare(ctx, &in.WorkspacePath, in.IfMatch, in.Group, true)
	})
}

func (a *API) listShared(ctx context.Context, in *Query) (*body[sdk.List[sdk.Workspace]], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Workspace); err != nil {
		return nil, err
	}
	var levels map[uuid.UUID]string
	var described []sdk.Workspace
	page, err := paged(a, *in, "shared-workspaces", "", 2, func(p store.Page) (list []store.Workspace, err error) {
		list, levels, err = a.Store.SharedWith(ctx, caller(ctx).UserID, p)
		return list, err
	}, func(w store.Workspace) []string { return []string{w.OwnerName, w.Name} }, func(w store.Workspace) store.Workspace { return w })
	if err != nil {
		return nil, err
	}
	if described, err = a.describe(ctx, page.Body.Items...); err != nil {
		return nil, a.problem(err)
	}
	for i, w := range page.Body.Items {
		described[i].Shared = levels[w.ID]
	}
	return listBody(described, page.Body.NextCursor), nil
}

// listShares is tagged as the workspace is, which changes with its shares.
func (a *API) listShares(ctx context.Context, in *struct {
	WorkspacePath
	Page
}) (*tagged[sdk.List[sdk.Share]], error) {
	w, err := a.find(ctx, auth.Share, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	page, err := paged(a, Query{Page: in.Page}, "shares", w.ID.String(), 2,
		func(p store.Page) ([]store.Share, error) { return a.Store.Shares(ctx, w.ID, p) },
		func(s store.Share) []string { return []string{strconv.FormatBool(s.Group), s.Name} }, shareJSON)
	if err != nil {
		return nil, err
	}
	return &tagged[sdk.List[sdk.Share]]{version(w.Version), page.Body}, nil
}

func shareJSON(s store.Share) sdk.Share {
	j := sdk.Share{User: s.Name, Level: s.Level, By: s.By, Since: s.CreatedAt}
	if s.Group {
		j.User, j.Group = "", s.Name
	}
	return j
}

func (a *API) share(ctx context.Context, in *WorkspacePath, seen IfMatch, with string, group bool, level string) error {
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
		err = a.Store.Share(ctx, store.ShareWith{WorkspaceID: w.ID, Name: with, Group: group}, level, caller(ctx).UserID, seen.versions())
	}
	if errors.Is(err, store.ErrNotFound) {
		return huma.Error422UnprocessableEntity("the workspace's organization has no other " + kind + " " + foreign.Printable(with))
	}
	if err != nil {
		return a.problem(err)
	}
	return nil
}

func (a *API) unshare(ctx context.Context, in *WorkspacePath, seen IfMatch, with string, group bool) error {
	w, err := a.find(ctx, auth.Share, in.Owner, in.Name)
	if err != nil {
		return err
	}
	err = store.ErrNotFound
	if isText(with) {
		err = a.Store.Unshare(ctx, store.ShareWith{WorkspaceID: w.ID, Name: with, Group: group}, seen.versions())
	}
	if err != nil {
		return a.problem(err)
	}
	return nil
}
