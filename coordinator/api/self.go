package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/sdk"
)

// stopReason is that of builds which somebody in the workspace asked for.
const stopReason = "asked for in the workspace"

func (a *API) registerSelf(h huma.API) {
	const agent = "/api/v1/agent"
	huma.Register(h, huma.Operation{
		OperationID: "agent-workspace", Method: http.MethodGet, Path: agent + "/workspace",
		Summary: "Show the workspace of this agent", Security: asAgent(),
	}, a.ownWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "agent-linked-workspace", Method: http.MethodGet, Path: agent + "/links/{owner}/{name}",
		Summary: "Show what is needed to reach another workspace, if a link of the policy leads there from this agent's", Security: asAgentOrClient(),
	}, a.linkedWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "agent-client-token", Method: http.MethodPost, Path: agent + "/client-token",
		Summary: "Make a token for programs of this agent's workspace, with which they go where links of the policy lead, for some minutes", Security: asAgent(),
	}, a.makeClientToken)
	huma.Register(h, huma.Operation{
		OperationID: "agent-stop", Method: http.MethodPost, Path: agent + "/stop",
		Summary: "Stop the workspace of this agent", Security: asAgent(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.stopOwnWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "agent-extend", Method: http.MethodPost, Path: agent + "/extend",
		Summary: "Have the workspace of this agent not stop for some time", Security: asAgent(), MaxBodyBytes: maxBody,
	}, a.extendOwnWorkspace)
}

// own finds the workspace of the agent that asks, if it may do something with it.
func (a *API) own(ctx context.Context, action auth.Action) (store.Workspace, error) {
	id := caller(ctx).AgentID
	agent, err := a.Store.LiveAgent(ctx, id)
	if err != nil {
		return store.Workspace{}, a.problem(err)
	}
	list, err := a.Store.WorkspacesByIDs(ctx, []uuid.UUID{agent.WorkspaceID})
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Workspace{}, a.problem(err)
	}
	return list[0], a.allow(ctx, action, auth.Object{Type: auth.Workspace, Instance: true, ID: list[0].ID, Name: list[0].Name, Owner: list[0].OwnerID, Agent: id})
}

// ownMade is own of what a template makes.
func (a *API) ownMade(ctx context.Context, action auth.Action) (store.Workspace, error) {
	w, err := a.own(ctx, action)
	if err == nil && w.External {
		err = huma.Error422UnprocessableEntity("workspace " + w.Name + " is external: somebody starts and stops it by hand")
	}
	return w, err
}

func (a *API) ownWorkspace(ctx context.Context, _ *struct{}) (*body[sdk.Workspace], error) {
	w, err := a.own(ctx, auth.Read)
	if err != nil {
		return nil, err
	}
	described, err := a.describe(ctx, w)
	if err != nil {
		return nil, a.problem(err)
	}
	if err := a.addDetails(ctx, &described[0], w); err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Workspace]{described[0]}, nil
}

// linkedWorkspace shows no more of a workspace than whoever reaches it sees anyway.
func (a *API) linkedWorkspace(ctx context.Context, in *WorkspacePath) (*body[sdk.Workspace], error) {
	from, err := a.Store.LiveAgent(ctx, caller(ctx).AgentID)
	if err != nil {
		return nil, a.problem(err)
	}
	owner := in.Owner
	if owner == "me" {
		owner = from.OwnerName
	}
	if !isText(owner) || !isText(in.Name) {
		return nil, a.problem(store.ErrNotFound)
	}
	w, err := a.Store.WorkspaceByName(ctx, owner, in.Name)
	if err != nil {
		return nil, a.problem(err)
	}
	out := sdk.Workspace{
		ID: w.ID.String(), Owner: w.OwnerName, Name: w.Name, Organization: w.Organization, External: w.External, CreatedAt: w.CreatedAt,
		Phase: string(w.Phase), Conditions: []sdk.Condition{}, Agents: []sdk.Agent{},
	}
	for _, g := range w.Agents {
		linked, err := a.Mesh.Links(ctx, from.ID, g.ID)
		if err != nil {
			return nil, a.problem(err)
		}
		if linked {
			out.Agents = append(out.Agents, sdk.Agent{
				ID: g.ID.String(), Name: g.Name, NodeID: g.ID.String(), Address: meshaddr.FromID(g.ID), State: string(g.State), Version: g.Version,
				LastConnectedAt: g.LastConnectedAt, Scripts: string(g.ScriptsState), HostKey: g.HostKey,
			})
		}
	}
	if len(out.Agents) == 0 {
		return nil, a.problem(store.ErrNotFound)
	}
	return &body[sdk.Workspace]{out}, nil
}

func (a *API) makeClientToken(ctx context.Context, _ *struct{}) (*body[sdk.ClientToken], error) {
	text, err := a.Auth.IssueClient(ctx, caller(ctx).AgentID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.ClientToken]{sdk.ClientToken{Token: text, ExpiresIn: int64(auth.ClientLifetime / time.Second)}}, nil
}

func (a *API) stopOwnWorkspace(ctx context.Context, _ *struct{}) (*body[sdk.Build], error) {
	w, err := a.ownMade(ctx, auth.Operate)
	if err != nil {
		return nil, err
	}
	b, err := a.Workspaces.Build(ctx, workspaces.Move{
		WorkspaceID: w.ID, Transition: store.Stop, InitiatorID: caller(ctx).UserID, Reason: stopReason,
	})
	if err != nil {
		return nil, a.problem(err)
	}
	return a.answerBuild(ctx, b)
}

func (a *API) extendOwnWorkspace(ctx context.Context, in *body[sdk.Extend]) (*body[sdk.Workspace], error) {
	w, err := a.ownMade(ctx, auth.Operate)
	if err != nil {
		return nil, err
	}
	if err := a.Workspaces.Extend(ctx, w.ID, time.Duration(in.Body.Seconds)*time.Second, nil); err != nil {
		return nil, a.problem(err)
	}
	return a.ownWorkspace(ctx, nil)
}
