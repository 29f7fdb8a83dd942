package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerRelays(h huma.API) {
	const relays = "/api/v1/relays"
	huma.Register(h, huma.Operation{
		OperationID: "list-relays", Method: http.MethodGet, Path: relays, Summary: "List relays", Security: signedIn(),
	}, a.listRelays)
	huma.Register(h, huma.Operation{
		OperationID: "create-relay", Method: http.MethodPost, Path: relays, Summary: "Make a relay, which joins with the token",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createRelay)
	huma.Register(h, huma.Operation{
		OperationID: "delete-relay", Method: http.MethodDelete, Path: relays + "/{name}",
		Summary: "Delete a relay, which ends it at once", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteRelay)
}

// RelayPath names a relay.
type RelayPath struct {
	Name string `path:"name" maxLength:"64" example:"dev"`
}

func (a *API) listRelays(ctx context.Context, in *Query) (*body[sdk.List[sdk.Relay]], error) {
	if err := a.allowAny(ctx, auth.List, auth.Relays); err != nil {
		return nil, err
	}
	list, err := a.Store.LiveRelays(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.Relay, 0, len(list)+1)
	for _, g := range a.Relays.Static().GetRegions() {
		for _, r := range g.GetRelays() {
			region := sdk.RelayRegion{ID: g.GetId(), Code: g.GetCode(), Name: g.GetName()}
			items = append(items, sdk.Relay{Name: r.GetName(), Region: region, URL: r.GetUrl(), Connected: true, Version: a.Version})
		}
	}
	for _, r := range list {
		items = append(items, a.relayJSON(r))
	}
	seen := a.Mesh.RegionLatencies()
	for i := range items {
		if l, ok := seen[items[i].Region.ID]; ok && items[i].Connected {
			items[i].Seen = &sdk.RelaySeen{Nodes: l.Nodes, Home: l.Home, RTTMs: float64(l.Median.Microseconds()) / 1000}
		}
	}
	terms, err := parseFilter(in.Q, "name")
	if err != nil {
		return nil, err
	}
	// Part of this is in memory, and there are no more of them than regions need.
	items = slices.DeleteFunc(items, func(r sdk.Relay) bool { return !strings.Contains(r.Name, strings.ToLower(terms["name"])) })
	return slice(items, "relays", in.Q, in.Page, func(r sdk.Relay) string { return r.Name + "/" + r.ID })
}

func (a *API) relayJSON(r store.Relay) sdk.Relay {
	out := sdk.Relay{
		ID: r.ID.String(), Name: r.Name, URL: r.URL, Version: r.Version, CreatedAt: &r.CreatedAt, ConnectedAt: r.ConnectedAt, LastSeenAt: r.LastSeenAt,
		Region: sdk.RelayRegion{ID: uint32(r.Region.ID), Code: r.Region.Code, Name: r.Region.Name, Latitude: r.Region.Latitude, Longitude: r.Region.Longitude},
	}
	p := a.Relays.Presence(r.ID)
	out.Connected = p.Here
	if p.Load != nil {
		out.Load = &sdk.RelayLoad{Clients: int(p.Load.GetClients()), Bytes: p.Load.GetBytes(), Dropped: p.Load.GetDroppedPackets()}
	}
	return out
}

func (a *API) createRelay(ctx context.Context, in *body[sdk.CreateRelay]) (*body[sdk.CreatedRelay], error) {
	if err := a.allowAny(ctx, auth.Create, auth.Relays); err != nil {
		return nil, err
	}
	if (in.Body.Latitude == nil) != (in.Body.Longitude == nil) {
		return nil, huma.Error422UnprocessableEntity("latitude and longitude go together")
	}
	name := cmp.Or(in.Body.RegionName, in.Body.Region)
	if !isText(name) {
		return nil, huma.Error422UnprocessableEntity("region_name is no text")
	}
	text, hash := secret.New()
	r, err := a.Store.CreateRelay(ctx, store.NewRelay{
		Name: in.Body.Name, SecretHash: hash, Creator: caller(ctx).UserID,
		Region: store.RelayRegion{Code: in.Body.Region, Name: name, Latitude: in.Body.Latitude, Longitude: in.Body.Longitude},
	})
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.CreatedRelay]{sdk.CreatedRelay{Relay: a.relayJSON(r), Token: auth.RelayToken(r.ID, text)}}, nil
}

func (a *API) deleteRelay(ctx context.Context, in *RelayPath) (*struct{}, error) {
	all, err := a.Store.LiveRelays(ctx)
	if err != nil {
		return nil, a.problem(err)
	}
	var r store.Relay
	if i := slices.IndexFunc(all, func(r store.Relay) bool { return strings.EqualFold(r.Name, in.Name) }); i >= 0 {
		r = all[i]
	}
	if err := a.allow(ctx, auth.Delete, auth.Object{Type: auth.Relays, ID: r.ID, Name: r.Name}); err != nil {
		return nil, err
	}
	if r.ID == uuid.Nil {
		return nil, a.problem(store.ErrNotFound)
	}
	revoked, err := a.Store.RevokeRelay(ctx, r.Name)
	if err != nil {
		return nil, a.problem(err)
	}
	a.Relays.Revoked(revoked)
	return nil, nil
}
