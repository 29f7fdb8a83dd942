package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerProvisioners(h huma.API) {
	const keys = "/api/v1/provisioner-keys"
	huma.Register(h, huma.Operation{
		OperationID: "list-provisioners", Method: http.MethodGet, Path: "/api/v1/provisioners",
		Summary: "List provisioners", Security: signedIn(),
	}, a.listProvisioners)
	huma.Register(h, huma.Operation{
		OperationID: "list-provisioner-keys", Method: http.MethodGet, Path: keys, Summary: "List keys of provisioners", Security: signedIn(),
	}, a.listProvisionerKeys)
	huma.Register(h, huma.Operation{
		OperationID: "create-provisioner-key", Method: http.MethodPost, Path: keys, Summary: "Make a key for provisioners",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createProvisionerKey)
	huma.Register(h, huma.Operation{
		OperationID: "delete-provisioner-key", Method: http.MethodDelete, Path: keys + "/{name}",
		Summary: "Revoke a key of provisioners", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteProvisionerKey)
}

func keyObject(k store.ProvisionerKey) auth.Object {
	return auth.Object{Type: auth.Provisioners, Instance: true, ID: k.ID, Name: k.Name, Organization: k.OrganizationID}
}

// provisionersOf says of which organizations the caller may see provisioners and
// keys, or that they may of none.
func (a *API) provisionersOf(ctx context.Context) (store.Scope, error) {
	seen := within(ctx, auth.List, auth.Provisioners)
	if !seen.Everywhere && len(seen.Organizations) == 0 {
		return seen, a.allowAny(ctx, auth.List, auth.Provisioners)
	}
	return seen, nil
}

func (a *API) listProvisioners(ctx context.Context, in *Query) (*body[sdk.List[sdk.Provisioner]], error) {
	seen, err := a.provisionersOf(ctx)
	if err != nil {
		return nil, err
	}
	return paged(a, *in, "provisioners", "", 2,
		func(p store.Page) ([]workspaces.Provisioner, error) { return a.Workspaces.Provisioners(ctx, seen, p) },
		func(p workspaces.Provisioner) []string { return []string{p.Name, p.ID.String()} },
		func(p workspaces.Provisioner) sdk.Provisioner {
			return sdk.Provisioner{
				ID: p.ID.String(), Name: p.Name, Key: p.KeyName, Version: p.Version, TerraformVersion: p.TerraformVersion,
				Tags: p.Tags, Slots: p.Slots, Running: p.Running, Connected: p.Connected, ConnectedAt: p.ConnectedAt, LastSeenAt: p.LastSeenAt,
			}
		})
}

func (a *API) listProvisionerKeys(ctx context.Context, in *Query) (*body[sdk.List[sdk.ProvisionerKey]], error) {
	seen, err := a.provisionersOf(ctx)
	if err != nil {
		return nil, err
	}
	return paged(a, *in, "provisioner-keys", "", 2,
		func(p store.Page) ([]store.ProvisionerKey, error) { return a.Store.ProvisionerKeys(ctx, seen, p) },
		func(k store.ProvisionerKey) []string { return []string{k.Name, k.Organization} }, keyJSON)
}

func (a *API) createProvisionerKey(ctx context.Context, in *body[sdk.CreateProvisionerKey]) (*body[sdk.CreatedProvisionerKey], error) {
	o, err := a.organization(ctx, in.Body.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Create, auth.Object{Type: auth.Provisioners, Organization: o.ID}); err != nil {
		return nil, err
	}
	if err := checkTexts(in.Body.Tags); err != nil {
		return nil, err
	}
	k, text, err := a.Workspaces.CreateProvisionerKey(ctx, in.Body.Name, in.Body.Tags, caller(ctx).UserID, o.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	k.Organization = o.Name
	return &body[sdk.CreatedProvisionerKey]{sdk.CreatedProvisionerKey{ProvisionerKey: keyJSON(k), Text: auth.ProvisionerToken(k.ID, text)}}, nil
}

func keyJSON(k store.ProvisionerKey) sdk.ProvisionerKey {
	return sdk.ProvisionerKey{ID: k.ID.String(), Name: k.Name, Organization: k.Organization, Tags: k.Tags, CreatedAt: k.CreatedAt}
}

// KeyPath names a key of provisioners.
type KeyPath struct {
	Name string `path:"name" maxLength:"64"`
	InOrganization
}

func (a *API) deleteProvisionerKey(ctx context.Context, in *KeyPath) (*struct{}, error) {
	if _, err := a.provisionersOf(ctx); err != nil {
		return nil, err
	}
	var list []store.ProvisionerKey
	if isText(in.Name) {
		var err error
		if list, err = a.Store.ProvisionerKeysByName(ctx, in.Name); err != nil {
			return nil, a.problem(err)
		}
	}
	k, err := meant(ctx, list, in.Organization, "key", in.Name, keyObject, func(k store.ProvisionerKey) string { return k.Organization })
	if err != nil {
		return nil, a.problem(err)
	}
	if err := a.allow(ctx, auth.Delete, keyObject(k)); err != nil {
		return nil, err
	}
	if err := a.Workspaces.RevokeProvisionerKey(ctx, k.ID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}
