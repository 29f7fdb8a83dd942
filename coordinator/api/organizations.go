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

// OrganizationPath names an organization.
type OrganizationPath struct {
	Organization string `path:"organization" maxLength:"64"`
}

// MemberPath names a member of an organization.
type MemberPath struct {
	OrganizationPath
	UserPath
}

func (a *API) registerOrganizations(h huma.API) {
	const organizations, members = "/api/v1/organizations", "/api/v1/organizations/{organization}/members"
	huma.Register(h, huma.Operation{
		OperationID: "list-organizations", Method: http.MethodGet, Path: organizations, Summary: "List organizations", Security: signedIn(),
	}, a.listOrganizations)
	huma.Register(h, huma.Operation{
		OperationID: "create-organization", Method: http.MethodPost, Path: organizations, Summary: "Make an organization, whose owner the caller is",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createOrganization)
	huma.Register(h, huma.Operation{
		OperationID: "get-organization", Method: http.MethodGet, Path: organizations + "/{organization}", Summary: "Show an organization", Security: signedIn(),
	}, a.getOrganization)
	huma.Register(h, huma.Operation{
		OperationID: "rename-organization", Method: http.MethodPatch, Path: organizations + "/{organization}", Summary: "Rename an organization",
		Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.renameOrganization)
	huma.Register(h, huma.Operation{
		OperationID: "delete-organization", Method: http.MethodDelete, Path: organizations + "/{organization}",
		Summary: "Delete an organization that has nothing left in it", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteOrganization)
	huma.Register(h, huma.Operation{
		OperationID: "list-members", Method: http.MethodGet, Path: members, Summary: "List the members of an organization", Security: signedIn(),
	}, a.listMembers)
	huma.Register(h, huma.Operation{
		OperationID: "get-member", Method: http.MethodGet, Path: members + "/{user}", Summary: "Show what a user is in an organization", Security: signedIn(),
	}, a.getMember)
	huma.Register(h, huma.Operation{
		OperationID: "set-member", Method: http.MethodPut, Path: members + "/{user}", Summary: "Make a user a member, or give them another role",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.setMember)
	huma.Register(h, huma.Operation{
		OperationID: "remove-member", Method: http.MethodDelete, Path: members + "/{user}",
		Summary: "Take a user out of an organization and its groups", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.removeMember)
}

func organizationObject(of auth.Resource, o store.Organization) auth.Object {
	return auth.Object{Type: of, Instance: of == auth.Organization, ID: o.ID, Name: o.Name, Organization: o.ID}
}

func organizationJSON(o store.Organization) sdk.Organization {
	return sdk.Organization{ID: o.ID.String(), Name: o.Name, Default: o.ID == store.DefaultOrganization, CreatedAt: o.CreatedAt}
}

// organization finds an organization that the caller may see; "" is the default
// one, which is no secret: a token may be for what belongs there and no more.
func (a *API) organization(ctx context.Context, name string) (store.Organization, error) {
	if name == "" {
		o, err := a.Store.OrganizationByID(ctx, store.DefaultOrganization)
		if err != nil {
			return o, a.problem(err)
		}
		return o, nil
	}
	if !isText(name) {
		return store.Organization{}, a.problem(store.ErrNotFound)
	}
	o, err := a.Store.OrganizationByName(ctx, name)
	if err != nil {
		return o, a.problem(err)
	}
	return o, a.allow(ctx, auth.Read, organizationObject(auth.Organization, o))
}

func (a *API) listOrganizations(ctx context.Context, in *Query) (*body[sdk.List[sdk.Organization]], error) {
	seen := within(ctx, auth.Read, auth.Organization)
	return paged(a, *in, "organizations", "", 1,
		func(p store.Page) ([]store.Organization, error) { return a.Store.Organizations(ctx, seen, p) },
		func(o store.Organization) []string { return []string{o.Name} }, organizationJSON)
}

func (a *API) getOrganization(ctx context.Context, in *OrganizationPath) (*tagged[sdk.Organization], error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	return &tagged[sdk.Organization]{version(o.Version), organizationJSON(o)}, nil
}

func (a *API) createOrganization(ctx context.Context, in *body[sdk.NameOrganization]) (*body[sdk.Organization], error) {
	if err := a.allowAny(ctx, auth.Create, auth.Organization); err != nil {
		return nil, err
	}
	o, err := a.Store.CreateOrganization(ctx, in.Body.Name, caller(ctx).UserID)
	if err != nil {
		return nil, a.named(err, "an organization")
	}
	return &body[sdk.Organization]{organizationJSON(o)}, nil
}

// named says what of a name there is already.
func (a *API) named(err error, what string) error {
	if p := refusal(err); p == nil && errors.Is(err, store.ErrConflict) {
		return huma.Error409Conflict("there is " + what + " of that name already")
	}
	return a.problem(err)
}

func (a *API) renameOrganization(ctx context.Context, in *struct {
	OrganizationPath
	IfMatch
	Body sdk.NameOrganization
}) (*tagged[sdk.Organization], error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Update, organizationObject(auth.Organization, o)); err != nil {
		return nil, err
	}
	if o, err = a.Store.RenameOrganization(ctx, o.ID, in.Body.Name, in.versions()); err != nil {
		return nil, a.named(err, "an organization")
	}
	return &tagged[sdk.Organization]{version(o.Version), organizationJSON(o)}, nil
}

func (a *API) deleteOrganization(ctx context.Context, in *OrganizationPath) (*struct{}, error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Delete, organizationObject(auth.Organization, o)); err != nil {
		return nil, err
	}
	if err := a.Store.DeleteOrganization(ctx, o.ID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) listMembers(ctx context.Context, in *struct {
	OrganizationPath
	Query
}) (*body[sdk.List[sdk.Member]], error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Read, organizationObject(auth.Membership, o)); err != nil {
		return nil, err
	}
	return paged(a, in.Query, "members", o.ID.String(), 1,
		func(p store.Page) ([]store.Member, error) { return a.Store.Members(ctx, o.ID, p) },
		func(m store.Member) []string { return []string{m.Username} }, memberJSON)
}

func memberJSON(m store.Member) sdk.Member {
	return sdk.Member{Username: m.Username, Role: string(m.Role), Since: m.Since}
}

func (a *API) getMember(ctx context.Context, in *MemberPath) (*tagged[sdk.Member], error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Read, organizationObject(auth.Membership, o)); err != nil {
		return nil, err
	}
	u, _, err := a.member(ctx, o, in.User)
	if err != nil {
		return nil, err
	}
	m, err := a.Store.Member(ctx, o.ID, u.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &tagged[sdk.Member]{version(m.Version), memberJSON(m)}, nil
}

// member finds a user, who may be in an organization, and what they are in it;
// "" is that they are not. Those who may change members know people by name.
func (a *API) member(ctx context.Context, o store.Organization, name string) (store.User, store.Role, error) {
	if !isText(name) {
		return store.User{}, "", a.problem(store.ErrNotFound)
	}
	if name == self {
		name = caller(ctx).Username
	}
	u, err := a.Store.UserByName(ctx, name)
	if err != nil {
		return u, "", a.problem(err)
	}
	m, err := a.Store.Member(ctx, o.ID, u.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return u, "", a.problem(err)
	}
	return u, m.Role, nil
}

// mayHaveRole returns an error unless the caller may make, or end, that somebody
// is something in an organization.
func (a *API) mayHaveRole(ctx context.Context, action auth.Action, o store.Organization, role store.Role) error {
	if role == store.RoleMember || role == "" {
		return a.allow(ctx, action, organizationObject(auth.Membership, o))
	}
	return a.allow(ctx, auth.Update, organizationObject(auth.Organization, o))
}

func (a *API) setMember(ctx context.Context, in *struct {
	MemberPath
	IfMatch
	Body sdk.SetMember
}) (*struct{}, error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.mayHaveRole(ctx, auth.Create, o, store.Role(in.Body.Role)); err != nil {
		return nil, err
	}
	u, was, err := a.member(ctx, o, in.User)
	if err != nil {
		return nil, err
	}
	if err := a.mayHaveRole(ctx, auth.Delete, o, was); err != nil {
		return nil, err
	}
	if err := a.Store.SetMember(ctx, o.ID, u.ID, store.Role(in.Body.Role), in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) removeMember(ctx context.Context, in *MemberPath) (*struct{}, error) {
	o, err := a.organization(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.mayHaveRole(ctx, auth.Delete, o, store.RoleMember); err != nil {
		return nil, err
	}
	u, was, err := a.member(ctx, o, in.User)
	if err != nil {
		return nil, err
	}
	if err := a.mayHaveRole(ctx, auth.Delete, o, was); err != nil {
		return nil, err
	}
	if err := a.Store.RemoveMember(ctx, o.ID, u.ID); err != nil {
		return nil, a.problem(err)
	}
	// What they have open was allowed by what they no longer are.
	a.cutOff(u.ID)
	return nil, nil
}
