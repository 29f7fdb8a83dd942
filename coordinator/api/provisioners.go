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
		OperationID: "list-provisioner-jobs", Method: http.MethodGet, Path: "/api/v1/provisioner-jobs",
		Summary: "List the jobs of provisioners, the newest first", Security: signedIn(),
	}, a.listProvisionerJobs)
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
				Tags: p.Tags, Slots: p.Slots, Running: p.Running, Connected: p.Connected, Draining: p.Draining, ConnectedAt: p.ConnectedAt, LastSeenAt: p.LastSeenAt,
			}
		})
}

// listProvisionerJobs filters by status alone, as builds do.
func (a *API) listProvisionerJobs(ctx context.Context, in *Query) (*body[sdk.List[sdk.ProvisionerJob]], error) {
	seen, err := a.provisionersOf(ctx)
	if err != nil {
		return nil, err
	}
	terms, err := parseFilter(in.Q, "status")
	if err == nil {
		err = oneOf(terms, "status", jobStatuses...)
	}
	if err != nil {
		return nil, err
	}
	const list = "provisioner-jobs"
	after, err := in.after(list, in.Q, 2)
	if err != nil {
		return nil, err
	}
	found, err := a.Workspaces.Jobs(ctx, seen, store.JobStatus(terms["status"]), store.Page{After: after, Max: in.Limit + 1})
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last store.ListedJob) string {
		return cursor(list, in.Q, store.TimeKey(last.CreatedAt), last.ID.String())
	})
	items := make([]sdk.ProvisionerJob, 0, len(found))
	for _, j := range found {
		job, err := a.jobNow(ctx, j.Job)
		if err != nil {
			return nil, a.problem(err)
		}
		items = append(items, sdk.ProvisionerJob{
			Kind: j.Kind, Organization: j.Organization, Template: j.Template, Version: j.Version, Owner: j.Owner, Workspace: j.Workspace,
			Build: j.Build, Tags: orEmpty(j.Tags), Provisioner: j.Provisioner, Job: job,
		})
	}
	return listBody(items, next), nil
}

// jobNow is a job with what it waits for.
func (a *API) jobNow(ctx context.Context, j store.Job) (sdk.Job, error) {
	out, err := jobJSON(j)
	if err != nil {
		return out, err
	}
	out.Waiting, err = a.waiting(ctx, j)
	return out, err
}

// waiting is what a job waits for; nil if it is nothing.
func (a *API) waiting(ctx context.Context, j store.Job) (*sdk.Waiting, error) {
	w, err := a.Workspaces.Wait(ctx, j)
	if err != nil || w.Message == "" {
		return nil, err
	}
	return waitingJSON(w), nil
}

func waitingJSON(w workspaces.Wait) *sdk.Waiting {
	return &sdk.Waiting{Position: w.Position, Stuck: w.Stuck, Message: w.Message}
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
