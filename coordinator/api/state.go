package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxState bounds a state that is pushed, which JSON makes a third larger.
const maxState = 32<<20/3*4 + maxBody

// States is what the API asks of the states of workspaces.
type States interface {
	// State returns the state of a workspace in the clear; store.ErrNotFound if
	// there is none.
	State(ctx context.Context, workspace uuid.UUID) ([]byte, error)
	// PushState keeps a state that descends from the one that is kept, or with
	// force any other; it frees a workspace whose state a provisioner held.
	PushState(ctx context.Context, workspace, by uuid.UUID, state []byte, force bool) error
}

func (a *API) registerState(h huma.API) {
	const state = "/api/v1/workspaces/{owner}/{name}/state"
	huma.Register(h, huma.Operation{
		OperationID: "pull-state", Method: http.MethodGet, Path: state, Summary: "The Terraform state of a workspace", Security: signedIn(),
	}, a.pullState)
	huma.Register(h, huma.Operation{
		OperationID: "push-state", Method: http.MethodPut, Path: state, Summary: "Replace the Terraform state of a workspace",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxState, BodyReadTimeout: uploadTimeout,
		Metadata: map[string]any{endless: true},
	}, a.pushState)
}

// anybodys finds anybody's workspace for an owner of the deployment: a state is
// full of secrets, and broken ones are theirs to mend.
func (a *API) anybodys(ctx context.Context, owner, name string) (store.Workspace, error) {
	if err := a.owns(ctx, "handle states"); err != nil {
		return store.Workspace{}, err
	}
	if owner == self {
		w, err := a.find(ctx, owner, name)
		if err != nil {
			return w, a.problem(err)
		}
		return w, nil
	}
	if !isText(owner) || !isText(name) {
		return store.Workspace{}, a.problem(store.ErrNotFound)
	}
	w, err := a.Store.WorkspaceByName(ctx, owner, name)
	if err != nil {
		return w, a.problem(err)
	}
	return w, nil
}

func (a *API) pullState(ctx context.Context, in *workspacePath) (*raw, error) {
	w, err := a.anybodys(ctx, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	state, err := a.Workspaces.State(ctx, w.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	a.Logger.Info("state pulled", "workspace", w.ID, "by", caller(ctx).UserID)
	return &raw{ContentType: "application/json", Body: state}, nil
}

func (a *API) pushState(ctx context.Context, in *struct {
	workspacePath
	Body sdk.PushedState
}) (*struct{}, error) {
	w, err := a.anybodys(ctx, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	var head struct {
		Lineage string
		Serial  *uint64
	}
	if err := json.Unmarshal(in.Body.State, &head); err != nil || head.Lineage == "" || head.Serial == nil {
		return nil, huma.Error422UnprocessableEntity("that is no Terraform state: it has no lineage and serial")
	}
	if err := a.Workspaces.PushState(ctx, w.ID, caller(ctx).UserID, in.Body.State, in.Body.Force); err != nil {
		return nil, a.problem(err)
	}
	a.Logger.Info("state pushed", "workspace", w.ID, "by", caller(ctx).UserID, "force", in.Body.Force)
	return nil, nil
}
