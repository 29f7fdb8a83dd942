package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerPrepared(h huma.API) {
	const prepared = "/api/v1/templates/{name}/prepared"
	huma.Register(h, huma.Operation{
		OperationID: "get-prepared", Method: http.MethodGet, Path: prepared, Summary: "Show how many workspaces of a template are kept ready", Security: signedIn(),
	}, a.getPrepared)
	huma.Register(h, huma.Operation{
		OperationID: "set-prepared", Method: http.MethodPut, Path: prepared, Summary: "Say how many workspaces of a template are kept ready",
		Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.setPrepared)
}

// getPrepared is for those who may change it: what its parameters are is theirs.
func (a *API) getPrepared(ctx context.Context, in *TemplatePath) (*tagged[sdk.Prepared], error) {
	t, err := a.template(ctx, auth.Update, *in)
	if err != nil {
		return nil, err
	}
	p, err := a.Workspaces.PoolOf(ctx, t.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &tagged[sdk.Prepared]{version(t.Revision), sdk.Prepared{
		Count: p.Size, Schedule: p.Schedule, Parameters: orEmpty(p.Parameters), Ready: p.Ready, Coming: p.Coming,
		Failures: p.Failures, Problem: p.Problem, RetryAt: never(p.RetryAt),
	}}, nil
}

func (a *API) setPrepared(ctx context.Context, in *struct {
	TemplatePath
	IfMatch
	Body sdk.SetPrepared
}) (*tagged[sdk.Prepared], error) {
	t, err := a.template(ctx, auth.Update, in.TemplatePath)
	if err != nil {
		return nil, err
	}
	if err := checkTexts(in.Body.Parameters); err != nil {
		return nil, err
	}
	p := store.Pool{TemplateID: t.ID, Size: in.Body.Count, Schedule: in.Body.Schedule, Parameters: in.Body.Parameters}
	if err := a.Workspaces.SetPool(ctx, p, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return a.getPrepared(ctx, &in.TemplatePath)
}
