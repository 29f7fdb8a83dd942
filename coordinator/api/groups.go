package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// GroupPath names a group of an organization.
type GroupPath struct {
	OrganizationPath
	Group string `path:"group" maxLength:"64"`
}

// GroupMemberPath names a member of a group.
type GroupMemberPath struct {
	GroupPath
	UserPath
}

func (a *API) registerGroups(h huma.API) {
	const group = "/api/v1/organizations/{organization}/groups/{group}"
	huma.Register(h, huma.Operation{
		OperationID: "list-groups", Method: http.MethodGet, Path: "/api/v1/groups", Summary: "List groups", Security: signedIn(),
	}, a.listGroups)
	huma.Register(h, huma.Operation{
		OperationID: "create-group", Method: http.MethodPost, Path: "/api/v1/groups", Summary: "Make a group",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createGroup)
	huma.Register(h, huma.Operation{
		OperationID: "get-group", Method: http.MethodGet, Path: group, Summary: "Show a group with its members", Security: signedIn(),
	}, a.getGroup)
	huma.Register(h, huma.Operation{
		OperationID: "delete-group", Method: http.MethodDelete, Path: group, Summary: "Delete a group; its members stay",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteGroup)
	huma.Register(h, huma.Operation{
		OperationID: "add-to-group", Method: http.MethodPut, Path: group + "/members/{user}", Summary: "Put a user into a group",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.addToGroup)
	huma.Register(h, huma.Operation{
		OperationID: "remove-from-group", Method: http.MethodDelete, Path: group + "/members/{user}", Summary: "Take a user out of a group",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.removeFromGroup)
}

func groupObject(g store.Group) auth.Object {
	return auth.Object{Type: auth.Group, Instance: true, Organization: g.OrganizationID}
}

func groupJSON(g store.Group) sdk.Group {
	return sdk.Group{ID: g.ID.String(), Organization: g.Organization, Name: g.Name, Members: g.Members, CreatedAt: g.CreatedAt}
}

// group finds a group that the caller may do something with.
func (a *API) group(ctx context.Context, action auth.Action, in *GroupPath) (store.Organization, store.Group, error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return o, store.Group{}, err
	}
	if !isText(in.Group) {
		return o, store.Group{}, a.problem(store.ErrNotFound)
	}
	g, err := a.Store.GroupByName(ctx, o.ID, in.Group)
	if err != nil {
		return o, g, a.problem(err)
	}
	return o, g, a.allow(ctx, action, groupObject(g))
}

func (a *API) listGroups(ctx context.Context, in *Query) (*body[sdk.List[sdk.Group]], error) {
	list, err := a.Store.Groups(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	items := []sdk.Group{}
	for _, g := range list {
		if auth.Allowed(caller(ctx), auth.Read, groupObject(g)) {
			items = append(items, groupJSON(g))
		}
	}
	if items, err = named(items, in.Q, func(g sdk.Group) string { return g.Name }); err != nil {
		return nil, err
	}
	return slice(items, "groups", in.Q, in.Page, func(g sdk.Group) string { return g.Organization + "/" + g.Name })
}

func (a *API) createGroup(ctx context.Context, in *body[sdk.CreateGroup]) (*body[sdk.Group], error) {
	o, err := a.organization(ctx, in.Body.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Create, auth.Object{Type: auth.Group, Organization: o.ID}); err != nil {
		return nil, err
	}
	g, err := a.Store.CreateGroup(ctx, o, in.Body.Name)
	if err != nil {
		return nil, a.named(err, "a group")
	}
	return &body[sdk.Group]{groupJSON(g)}, nil
}

func (a *API) getGroup(ctx context.Context, in *GroupPath) (*body[sdk.Group], error) {
	_, g, err := a.group(ctx, auth.Read, in)
	if err != nil {
		return nil, err
	}
	members, err := a.Store.GroupMembers(ctx, g.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	out := groupJSON(g)
	for _, m := range members {
		out.People = append(out.People, sdk.GroupMember{Username: m.Username, Managed: m.Managed})
	}
	return &body[sdk.Group]{out}, nil
}

func (a *API) deleteGroup(ctx context.Context, in *GroupPath) (*struct{}, error) {
	_, g, err := a.group(ctx, auth.Delete, in)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteGroup(ctx, g.ID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

// inGroup finds a group to change and a user of its organization.
func (a *API) inGroup(ctx context.Context, in *GroupMemberPath) (store.Group, store.User, error) {
	o, g, err := a.group(ctx, auth.Update, &in.GroupPath)
	if err != nil {
		return g, store.User{}, err
	}
	u, role, err := a.member(ctx, o, in.User)
	if err == nil && role == "" {
		err = a.problem(store.ErrNotFound)
	}
	return g, u, err
}

func (a *API) addToGroup(ctx context.Context, in *GroupMemberPath) (*struct{}, error) {
	g, u, err := a.inGroup(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := a.Store.AddGroupMember(ctx, g.ID, u.ID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) removeFromGroup(ctx context.Context, in *GroupMemberPath) (*struct{}, error) {
	g, u, err := a.inGroup(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := a.Store.RemoveGroupMember(ctx, g.ID, u.ID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}
