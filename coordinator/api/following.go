package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/forge"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// pushedPath is where forges post, with the id of a webhook after it.
const pushedPath = "/api/v1/template-webhooks/"

// pushedTimeout bounds how long a forge may take to post: the largest gives up itself
// after 10 s.
const pushedTimeout = 10 * time.Second

func (a *API) registerFollowing(h huma.API) {
	const hook = "/api/v1/templates/{name}/webhook"
	huma.Register(h, huma.Operation{
		OperationID: "get-template-webhook", Method: http.MethodGet, Path: hook, Summary: "Show which branch a template follows, and what came of it",
		Security: signedIn(), Middlewares: huma.Middlewares{withOrigin},
	}, a.getFollowing)
	huma.Register(h, huma.Operation{
		OperationID: "create-template-webhook", Method: http.MethodPost, Path: hook, Summary: "Have a template follow a branch of a git repository",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody, Middlewares: huma.Middlewares{withOrigin},
	}, a.follow)
	huma.Register(h, huma.Operation{
		OperationID: "delete-template-webhook", Method: http.MethodDelete, Path: hook, Summary: "Have a template follow nothing any more",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.unfollow)

	huma.Register(h, huma.Operation{
		OperationID: "pushed", Method: http.MethodPost, Path: pushedPath + "{id}", DefaultStatus: http.StatusAccepted,
		Summary:      "Say that somebody has pushed: for GitHub, GitLab, Gitea and Forgejo, which sign with the webhook's secret",
		MaxBodyBytes: forge.MaxPosted, BodyReadTimeout: pushedTimeout, Middlewares: huma.Middlewares{a.hooked},
	}, a.pushed)
	// The library reads no JSON here, for the signature is of what was sent.
	post := h.OpenAPI().Paths[pushedPath+"{id}"].Post
	post.RequestBody.Content = map[string]*huma.MediaType{
		"application/json": {Schema: h.OpenAPI().Components.Schemas.Schema(typeOf[sdk.Pushed](), true, "Pushed")},
	}
}

func (a *API) getFollowing(ctx context.Context, in *TemplatePath) (*body[sdk.TemplateWebhook], error) {
	w, err := a.following(ctx, *in)
	if err != nil {
		return nil, err
	}
	return &body[sdk.TemplateWebhook]{a.followingJSON(ctx, w)}, nil
}

// following finds the webhook of a template that the caller may change.
func (a *API) following(ctx context.Context, in TemplatePath) (store.TemplateWebhook, error) {
	t, err := a.template(ctx, auth.Update, in)
	if err != nil {
		return store.TemplateWebhook{}, err
	}
	w, err := a.Store.TemplateWebhookOf(ctx, t.ID)
	if errors.Is(err, store.ErrNotFound) {
		return w, huma.Error404NotFound("the template follows no repository; 'adit templates webhook create' has it do so")
	}
	if err != nil {
		return w, a.problem(err)
	}
	return w, nil
}

func (a *API) follow(ctx context.Context, in *struct {
	TemplatePath
	Body sdk.CreateTemplateWebhook
}) (*body[sdk.CreatedTemplateWebhook], error) {
	t, err := a.template(ctx, auth.Update, in.TemplatePath)
	if err != nil {
		return nil, err
	}
	who := caller(ctx)
	w, secret, err := a.Workspaces.FollowTemplate(ctx, store.TemplateWebhook{
		TemplateID: t.ID, URL: in.Body.Repository, Branch: in.Body.Branch, Directory: path.Clean(in.Body.Directory), Promote: in.Body.Promote,
		CreatorID: who.UserID, Creator: who.Username,
	})
	if errors.Is(err, store.ErrConflict) {
		return nil, huma.Error409Conflict("the template follows a repository already; delete its webhook first")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.CreatedTemplateWebhook]{sdk.CreatedTemplateWebhook{TemplateWebhook: a.followingJSON(ctx, w), Secret: secret}}, nil
}

func (a *API) unfollow(ctx context.Context, in *TemplatePath) (*struct{}, error) {
	w, err := a.following(ctx, *in)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteTemplateWebhook(ctx, w.TemplateID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

type hookKey struct{}

// hooked finds the webhook before anything is read of what a stranger sends.
func (a *API) hooked(ctx huma.Context, next func(huma.Context)) {
	id, err := uuid.Parse(ctx.Param("id"))
	if err != nil {
		a.writeError(ctx, a.problem(store.ErrNotFound))
		return
	}
	w, err := a.Store.TemplateWebhook(ctx.Context(), id)
	if err != nil {
		a.writeError(ctx, a.problem(err))
		return
	}
	ctx = huma.WithValue(ctx, hookKey{}, w)
	next(huma.WithValue(ctx, headerKey{}, signatures(ctx)))
}

type headerKey struct{}

// signatures are the headers by which a forge says who it is and what happened.
func signatures(ctx huma.Context) http.Header {
	h := make(http.Header)
	for _, name := range []string{"X-GitHub-Event", "X-Hub-Signature-256", "X-Gitlab-Event", "X-Gitlab-Token"} {
		h.Set(name, ctx.Header(name))
	}
	return h
}

func (a *API) pushed(ctx context.Context, in *struct {
	ID      string `path:"id" maxLength:"64" doc:"The webhook's id"`
	RawBody []byte `contentType:"application/octet-stream"`
}) (*body[sdk.PushTaken], error) {
	w, _ := ctx.Value(hookKey{}).(store.TemplateWebhook)
	h, _ := ctx.Value(headerKey{}).(http.Header)
	why, err := a.Workspaces.Pushed(ctx, w, h, in.RawBody)
	switch {
	case errors.Is(err, forge.ErrUnsigned):
		return nil, huma.Error401Unauthorized(err.Error())
	case errors.Is(err, forge.ErrForm):
		return nil, huma.Error415UnsupportedMediaType(err.Error())
	case err != nil:
		return nil, a.problem(err)
	}
	return &body[sdk.PushTaken]{sdk.PushTaken{Taken: why == "", Reason: why}}, nil
}

func (a *API) followingJSON(ctx context.Context, w store.TemplateWebhook) sdk.TemplateWebhook {
	at := url.URL{Path: pushedPath + w.ID.String()}
	if base := a.accessURL(ctx); base != nil {
		at = *base.JoinPath(pushedPath, w.ID.String())
	}
	return sdk.TemplateWebhook{
		ID: w.ID.String(), URL: at.String(), Repository: w.URL, Branch: w.Branch, Directory: w.Directory, Promote: w.Promote,
		CreatedBy: w.Creator, CreatedAt: w.CreatedAt, PushedAt: w.PushedAt, FetchedAt: w.FetchedAt, NextAt: w.DueAt, Commit: w.Commit, Problem: w.Problem,
	}
}
