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

// maxState bounds a state that is pushed, which JSON makes a third larger.
const maxState = workspaces.MaxState/3*4 + maxBody

func (a *API) registerState(h huma.API) {
	const state = "/api/v1/workspaces/{owner}/{name}/state"
	huma.Register(h, huma.Operation{
		OperationID: "pull-state", Method: http.MethodGet, Path: state, Summary: "The Terraform state of a workspace", Security: signedIn(), Metadata: map[string]any{media: "application/json"},
	}, a.pullState)
	huma.Register(h, huma.Operation{
		OperationID: "push-state", Method: http.MethodPut, Path: state, Summary: "Replace the Terraform state of a workspace",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxState, BodyReadTimeout: uploadTimeout,
		Metadata: map[string]any{endless: true},
	}, a.pushState)
}

// anybodys finds anybody's workspace for an owner of the deployment: a state is
// full of secrets, and broken ones are theirs to mend.
func (a *API) anybodys(ctx context.Context, action auth.Action, owner, name string) (store.Workspace, error) {
	if owner == self {
		owner = caller(ctx).Username
	}
	w, err := store.Workspace{}, store.ErrNotFound
	if isText(owner) && isText(name) {
		w, err = a.Store.WorkspaceByName(ctx, owner, name)
	}
	// Whoever may not does not learn whether there is one.
	if err := a.allow(ctx, action, auth.Object{Type: auth.State, ID: w.ID, Name: w.Name}); err != nil {
		return w, err
	}
	if err != nil {
		return w, a.problem(err)
	}
	return w, nil
}

func (a *API) pullState(ctx context.Context, in *WorkspacePath) (*raw, error) {
	w, err := a.anybodys(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	state, err := a.Workspaces.State(ctx, w.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	a.Logger.InfoContext(ctx, "state pulled", "workspace", w.ID, "by", caller(ctx).UserID)
	return &raw{ContentType: "application/json", Body: state}, nil
}

func (a *API) pushState(ctx context.Context, in *struct {
	WorkspacePath
	Body sdk.PushedState
}) (*struct{}, error) {
	w, err := a.anybodys(ctx, auth.Update, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.Workspaces.PushState(ctx, w.ID, in.Body.State, in.Body.Force); err != nil {
		return nil, a.problem(err)
	}
	a.Logger.InfoContext(ctx, "state pushed", "workspace", w.ID, "by", caller(ctx).UserID, "force", in.Body.Force)
	return nil, nil
}
