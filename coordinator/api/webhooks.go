package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/events"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// secretPrefix tells people, and scanners for leaked secrets, what they found.
const secretPrefix = "adit_webhook_"

func (a *API) registerWebhooks(h huma.API) {
	const hooks = "/api/v1/webhooks"
	huma.Register(h, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: hooks, Summary: "List webhooks", Security: signedIn(),
	}, a.listWebhooks)
	huma.Register(h, huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: hooks, Summary: "Have events posted to a URL",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createWebhook)
	huma.Register(h, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: hooks + "/{name}", Summary: "Delete a webhook with its deliveries",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteWebhook)
	huma.Register(h, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: hooks + "/{name}/deliveries",
		Summary: "List what a webhook got and is to get, the newest first", Security: signedIn(),
	}, a.listDeliveries)
	huma.Register(h, huma.Operation{
		OperationID: "redeliver", Method: http.MethodPost, Path: hooks + "/{name}/deliveries/{id}/redeliver",
		Summary: "Deliver once more what was delivered or given up", Security: signedIn(), DefaultStatus: http.StatusCreated,
	}, a.redeliver)
}

// WebhookPath names a webhook.
type WebhookPath struct {
	Name string `path:"name" maxLength:"64"`
}

func (a *API) listWebhooks(ctx context.Context, in *Query) (*body[sdk.List[sdk.Webhook]], error) {
	if err := a.allowAny(ctx, auth.List, auth.Webhook); err != nil {
		return nil, err
	}
	return paged(a, *in, "webhooks", "", 1,
		func(p store.Page) ([]store.Webhook, error) { return a.Store.Webhooks(ctx, p) },
		func(w store.Webhook) []string { return []string{w.Name} }, webhookJSON)
}

func (a *API) createWebhook(ctx context.Context, in *body[sdk.CreateWebhook]) (*body[sdk.CreatedWebhook], error) {
	if err := a.allowAny(ctx, auth.Create, auth.Webhook); err != nil {
		return nil, err
	}
	if err := events.CheckURL(in.Body.URL, a.WebhookPrivate); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	kinds := in.Body.Kinds
	if len(kinds) == 0 {
		kinds = store.EventKinds()
	}
	text, _ := secret.New()
	text = secretPrefix + text
	w := store.Webhook{Name: in.Body.Name, URL: in.Body.URL, Kinds: kinds}
	events.Seal(a.Keys, &w, text)
	w, err := a.Store.CreateWebhook(ctx, w, caller(ctx).UserID)
	if errors.Is(err, store.ErrTooMany) {
		return nil, huma.Error409Conflict("there are as many webhooks as there may be; delete one")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.CreatedWebhook]{sdk.CreatedWebhook{Webhook: webhookJSON(w), Secret: text}}, nil
}

func (a *API) deleteWebhook(ctx context.Context, in *WebhookPath) (*struct{}, error) {
	w, err := a.webhook(ctx, auth.Delete, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteWebhook(ctx, w.Name); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

// webhook finds a webhook, for who may do something with them.
func (a *API) webhook(ctx context.Context, action auth.Action, name string) (store.Webhook, error) {
	w, err := store.Webhook{}, store.ErrNotFound
	if isText(name) {
		w, err = a.Store.WebhookByName(ctx, name)
	}
	if err := a.allow(ctx, action, auth.Object{Type: auth.Webhook, ID: w.ID, Name: w.Name}); err != nil {
		return w, err
	}
	if err != nil {
		return w, a.problem(err)
	}
	return w, nil
}

func (a *API) listDeliveries(ctx context.Context, in *struct {
	WebhookPath
	Page
	Status string `query:"status" enum:"pending,delivered,dead" doc:"Only those"`
}) (*body[sdk.List[sdk.Delivery]], error) {
	w, err := a.webhook(ctx, auth.Read, in.Name)
	if err != nil {
		return nil, err
	}
	filter := w.ID.String() + in.Status
	before, err := in.before("deliveries", filter)
	if err != nil {
		return nil, err
	}
	found, err := a.Store.Deliveries(ctx, w.ID, in.Status, before, in.Limit+1)
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last store.Delivery) string { return cursor("deliveries", filter, strconv.FormatInt(last.ID, 10)) })
	items := make([]sdk.Delivery, 0, len(found))
	for _, d := range found {
		items = append(items, deliveryJSON(d))
	}
	return listBody(items, next), nil
}

func (a *API) redeliver(ctx context.Context, in *struct {
	WebhookPath
	ID int64 `path:"id" minimum:"1"`
}) (*body[sdk.Delivery], error) {
	w, err := a.webhook(ctx, auth.Update, in.Name)
	if err != nil {
		return nil, err
	}
	d, err := a.Store.Redeliver(ctx, w.ID, in.ID)
	if errors.Is(err, store.ErrTooMany) {
		return nil, huma.Error409Conflict("too many deliveries wait already; see why they do")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Delivery]{deliveryJSON(d)}, nil
}

func webhookJSON(w store.Webhook) sdk.Webhook {
	return sdk.Webhook{
		ID: w.ID.String(), Name: w.Name, URL: w.URL, Kinds: w.Kinds, CreatedAt: w.CreatedAt, Pending: w.Pending, Dead: w.Dead,
	}
}

func deliveryJSON(d store.Delivery) sdk.Delivery {
	var next *time.Time
	if d.Status == store.DeliveryPending {
		next = &d.NextAt
	}
	return sdk.Delivery{
		ID: d.ID, Version: d.Version, Event: d.Event, Status: d.Status, Attempts: d.Attempts, Answer: d.Answer, Error: d.Error,
		CreatedAt: d.CreatedAt, NextAt: next, FinishedAt: d.FinishedAt, Payload: string(d.Payload),
	}
}
