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
		OperationID: "get-group", Method: http.MethodGet, Path: group, Summary: "Show a group", Security: signedIn(),
	}, a.getGroup)
	huma.Register(h, huma.Operation{
		OperationID: "delete-group", Method: http.MethodDelete, Path: group, Summary: "Delete a group; its members stay",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteGroup)
	huma.Register(h, huma.Operation{
		OperationID: "list-group-members", Method: http.MethodGet, Path: group + "/members", Summary: "List the members of a group", Security: signedIn(),
	}, a.listGroupMembers)
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
	return auth.Object{Type: auth.Group, Instance: true, ID: g.ID, Name: g.Name, Organization: g.OrganizationID}
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
	seen := within(ctx, auth.Read, auth.Group)
	return paged(a, *in, "groups", "", 2,
		func(p store.Page) ([]store.Group, error) { return a.Store.Groups(ctx, seen, p) },
		func(g store.Group) []string { return []string{g.Organization, g.Name} }, groupJSON)
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

func (a *API) getGroup(ctx context.Context, in *GroupPath) (*tagged[sdk.Group], error) {
	_, g, err := a.group(ctx, auth.Read, in)
	if err != nil {
		return nil, err
	}
	return &tagged[sdk.Group]{version(g.Version), groupJSON(g)}, nil
}

func (a *API) listGroupMembers(ctx context.Context, in *struct {
	GroupPath
	Query
}) (*body[sdk.List[sdk.GroupMember]], error) {
	_, g, err := a.group(ctx, auth.Read, &in.GroupPath)
	if err != nil {
		return nil, err
	}
	return paged(a, in.Query, "group-members", g.ID.String(), 1,
		func(p store.Page) ([]store.GroupMember, error) { return a.Store.GroupMembers(ctx, g.ID, p) },
		func(m store.GroupMember) []string { return []string{m.Username} },
		func(m store.GroupMember) sdk.GroupMember {
			return sdk.GroupMember{Username: m.Username, Managers: m.Managers}
		})
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

func (a *API) addToGroup(ctx context.Context, in *struct {
	GroupMemberPath
	IfMatch
}) (*struct{}, error) {
	g, u, err := a.inGroup(ctx, &in.GroupMemberPath)
	if err != nil {
		return nil, err
	}
	if err := a.Store.AddGroupMember(ctx, g.ID, u.ID, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) removeFromGroup(ctx context.Context, in *struct {
	GroupMemberPath
	IfMatch
}) (*struct{}, error) {
	g, u, err := a.inGroup(ctx, &in.GroupMemberPath)
	if err != nil {
		return nil, err
	}
	if err := a.Store.RemoveGroupMember(ctx, g.ID, u.ID, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}
