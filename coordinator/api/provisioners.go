package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
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

func (a *API) listProvisioners(ctx context.Context, in *Query) (*body[sdk.List[sdk.Provisioner]], error) {
	if err := a.allowAny(ctx, auth.List, auth.Provisioners); err != nil {
		return nil, err
	}
	list, err := a.Workspaces.Provisioners(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.Provisioner, 0, len(list))
	for _, p := range list {
		items = append(items, sdk.Provisioner{
			ID: p.ID.String(), Name: p.Name, Key: p.KeyName, Version: p.Version, TerraformVersion: p.TerraformVersion,
			Tags: p.Tags, Slots: p.Slots, Running: p.Running, Connected: p.Connected, ConnectedAt: p.ConnectedAt, LastSeenAt: p.LastSeenAt,
		})
	}
	if items, err = named(items, in.Q, func(p sdk.Provisioner) string { return p.Name }); err != nil {
		return nil, err
	}
	return slice(items, "provisioners", in.Q, in.Page, func(p sdk.Provisioner) string { return p.Name + "/" + p.ID })
}

func (a *API) listProvisionerKeys(ctx context.Context, in *Query) (*body[sdk.List[sdk.ProvisionerKey]], error) {
	if err := a.allowAny(ctx, auth.List, auth.Provisioners); err != nil {
		return nil, err
	}
	list, err := a.Workspaces.ProvisionerKeys(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.ProvisionerKey, 0, len(list))
	for _, k := range list {
		items = append(items, keyJSON(k))
	}
	name := func(k sdk.ProvisionerKey) string { return k.Name }
	if items, err = named(items, in.Q, name); err != nil {
		return nil, err
	}
	return slice(items, "provisioner-keys", in.Q, in.Page, name)
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
	return &body[sdk.CreatedProvisionerKey]{sdk.CreatedProvisionerKey{ProvisionerKey: keyJSON(k), Text: auth.ProvisionerToken(k.ID, text)}}, nil
}

func keyJSON(k store.ProvisionerKey) sdk.ProvisionerKey {
	return sdk.ProvisionerKey{ID: k.ID.String(), Name: k.Name, Tags: k.Tags, CreatedAt: k.CreatedAt}
}

func (a *API) deleteProvisionerKey(ctx context.Context, in *TemplatePath) (*struct{}, error) {
	if err := a.allowAny(ctx, auth.Delete, auth.Provisioners); err != nil {
		return nil, err
	}
	if !isText(in.Name) {
		return nil, a.problem(store.ErrNotFound)
	}
	if err := a.Workspaces.RevokeProvisionerKey(ctx, in.Name); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}
