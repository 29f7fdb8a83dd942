package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerIdentity(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "agent-identity", Method: http.MethodPost, Path: "/api/v1/agent/identity",
		Summary: "Exchange the proof of a cloud's instance for the token of the agent that is to run there", MaxBodyBytes: maxBody,
		Middlewares: huma.Middlewares{withOrigin},
	}, a.exchangeIdentity)
}

// exchangeIdentity gives an agent its token. Whoever cannot prove an instance learns
// nothing of which there are.
func (a *API) exchangeIdentity(ctx context.Context, in *body[sdk.InstanceProof]) (*body[sdk.AgentToken], error) {
	if a.Identity == nil {
		return nil, huma.Error503ServiceUnavailable("this coordinator takes no instance identities")
	}
	p := identity.Proof{Kind: identity.Kind(in.Body.Kind), Document: in.Body.Document, Signature: in.Body.Signature}
	i, err := a.Identity.Verify(ctx, p, a.audience(ctx))
	switch {
	case errors.Is(err, identity.ErrUnavailable):
		a.Logger.Warn("an agent's identity cannot be checked", "err", err)
		return nil, huma.Error503ServiceUnavailable("the cloud's keys cannot be had; try again")
	case err != nil:
		a.Logger.Info("an agent's identity was refused", "err", err)
		return nil, huma.Error401Unauthorized("not accepted as proof of an instance's identity; the coordinator's log says why")
	}
	agent, err := a.Store.AgentOfInstance(ctx, string(i.Kind), i.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		// Its build may go on; the proof is not used up by asking early.
		return nil, huma.Error404NotFound("no running workspace has an agent with auth = \"" + string(i.Kind) + "\" on this instance")
	case errors.Is(err, store.ErrAmbiguous):
		return nil, huma.Error409Conflict("several agents are to run on this instance; give each its token instead")
	case err != nil:
		return nil, a.problem(err)
	}
	if i.Once != nil {
		switch err := a.Store.UseIdentity(ctx, i.Once, i.Until); {
		case errors.Is(err, store.ErrUsed):
			a.Logger.Warn("a proof of identity came twice", "instance", i.ID, "agent", agent.ID)
			return nil, huma.Error401Unauthorized("this proof was used before; ask the metadata service for another")
		case err != nil:
			return nil, a.problem(err)
		}
	}
	a.Logger.Info("agent is known by its instance", "agent", agent.ID, "kind", i.Kind, "instance", i.ID)
	return &body[sdk.AgentToken]{sdk.AgentToken{Token: agenttoken.Token(agent.WorkspaceID, agent.Secret, agent.Name)}}, nil
}

// audience is whom Google's tokens must be for.
func (a *API) audience(ctx context.Context) string {
	u := a.accessURL(ctx)
	if u == nil {
		return ""
	}
	return strings.TrimSuffix(u.String(), "/")
}
