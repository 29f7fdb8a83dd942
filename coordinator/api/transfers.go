package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// OfferPath names an offer by the id of the workspace.
type OfferPath struct {
	ID string `path:"id" format:"uuid"`
}

func (a *API) registerTransfers(h huma.API) {
	const offer, offers = "/api/v1/workspaces/{owner}/{name}/offer", "/api/v1/offers"
	huma.Register(h, huma.Operation{
		OperationID: "offer-workspace", Method: http.MethodPut, Path: offer, Summary: "Offer a workspace to another user, for a week",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.offer)
	huma.Register(h, huma.Operation{
		OperationID: "cancel-offer", Method: http.MethodDelete, Path: offer, Summary: "Take the offer of a workspace back",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.cancelOffer)
	huma.Register(h, huma.Operation{
		OperationID: "list-offers", Method: http.MethodGet, Path: offers, Summary: "List offers to the caller and by them", Security: signedIn(),
	}, a.listOffers)
	huma.Register(h, huma.Operation{
		OperationID: "accept-offer", Method: http.MethodPost, Path: offers + "/{id}/accept", Summary: "Make an offered workspace one's own",
		Security: signedIn(), MaxBodyBytes: maxBody, Middlewares: huma.Middlewares{withOrigin},
	}, a.acceptOffer)
	huma.Register(h, huma.Operation{
		OperationID: "decline-offer", Method: http.MethodDelete, Path: offers + "/{id}", Summary: "Decline an offer",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.declineOffer)
}

func (a *API) offer(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
	Body sdk.OfferWorkspace
}) (*struct{}, error) {
	w, err := a.find(ctx, auth.Transfer, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	to := in.Body.To
	if to == self {
		to = caller(ctx).Username
	}
	err = store.ErrNotFound
	if isText(to) {
		err = a.Store.OfferWorkspace(ctx, w.ID, to, caller(ctx).UserID, in.versions())
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, huma.Error422UnprocessableEntity("the workspace's organization has no other user " + foreign.Printable(to))
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) cancelOffer(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
}) (*struct{}, error) {
	w, err := a.find(ctx, auth.Transfer, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.Store.CancelOffer(ctx, w.ID, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) listOffers(ctx context.Context, in *Query) (*body[sdk.List[sdk.Offer]], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Workspace); err != nil {
		return nil, err
	}
	return paged(a, *in, "offers", "", 2,
		func(p store.Page) ([]store.Offer, error) { return a.Store.Offers(ctx, caller(ctx).UserID, p) },
		func(o store.Offer) []string { return []string{store.TimeKey(o.CreatedAt), o.ID.String()} },
		func(o store.Offer) sdk.Offer {
			return sdk.Offer{ID: o.ID.String(), Owner: o.Owner, Name: o.Name, External: o.External, To: o.To, By: o.By, Since: o.CreatedAt}
		})
}

// acceptOffer needs no more of the workspace than that it is offered: whoever it
// is to may not have seen it.
func (a *API) acceptOffer(ctx context.Context, in *struct {
	OfferPath
	Body sdk.AcceptOffer
}) (*body[sdk.CreatedWorkspace], error) {
	who := caller(ctx)
	id, err := uuid.Parse(in.ID)
	if err != nil {
		return nil, a.problem(store.ErrNotFound)
	}
	w, err := a.Store.WorkspaceByID(ctx, id)
	if err != nil {
		return nil, a.problem(err)
	}
	text, hash := secret.New()
	n := store.NewOwner{WorkspaceID: id, UserID: who.UserID, Name: in.Body.Name}
	if w.External {
		n.AgentTokenHash = hash
	}
	if err := a.allow(ctx, auth.Create, newWorkspace(who.UserID, w.OrganizationID)); err != nil {
		return nil, a.problem(store.ErrNotFound) // nor is it offered to them
	}
	agents, err := a.Workspaces.Transfer(ctx, n)
	if err != nil {
		return nil, a.problem(err)
	}
	for _, agent := range agents {
		a.Mesh.AgentDeleted(agent)
	}
	if w, err = a.Store.WorkspaceByID(ctx, id); err != nil {
		return nil, a.problem(err)
	}
	made, err := a.describe(ctx, w)
	if err != nil {
		return nil, a.problem(err)
	}
	out := sdk.CreatedWorkspace{Workspace: made[0]}
	if w.External && len(w.Agents) == 1 {
		out.AgentToken = auth.AgentToken(w.Agents[0].ID, text)
		out.AgentCommand = fmt.Sprintf("adit agent --url %s --token %s", a.accessURL(ctx), out.AgentToken)
	}
	return &body[sdk.CreatedWorkspace]{out}, nil
}

func (a *API) declineOffer(ctx context.Context, in *OfferPath) (*struct{}, error) {
	id, err := uuid.Parse(in.ID)
	if err != nil {
		return nil, a.problem(store.ErrNotFound)
	}
	if err := a.allowOwn(ctx, auth.Create, auth.Workspace); err != nil {
		return nil, err
	}
	if err := a.Store.DeclineOffer(ctx, id, caller(ctx).UserID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}
