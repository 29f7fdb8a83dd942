package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerGit(h huma.API) {
	const credentials, dotfiles = "/api/v1/users/me/git-credentials", "/api/v1/users/me/dotfiles"
	huma.Register(h, huma.Operation{
		OperationID: "list-git-credentials", Method: http.MethodGet, Path: credentials, Security: signedIn(),
		Summary: "List the caller's credentials for git servers, without the passwords",
	}, a.listGitCredentials)
	huma.Register(h, huma.Operation{
		OperationID: "set-git-credential", Method: http.MethodPut, Path: credentials, Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
		Summary: "Keep a credential that the agents of the caller's workspaces show to a git server",
	}, a.setGitCredential)
	huma.Register(h, huma.Operation{
		OperationID: "delete-git-credential", Method: http.MethodDelete, Path: credentials, Security: signedIn(), DefaultStatus: http.StatusNoContent,
		Summary: "Forget a credential for a git server",
	}, a.deleteGitCredential)
	huma.Register(h, huma.Operation{
		OperationID: "get-dotfiles", Method: http.MethodGet, Path: dotfiles, Summary: "Where the caller's dotfiles are", Security: signedIn(),
	}, a.getDotfiles)
	huma.Register(h, huma.Operation{
		OperationID: "set-dotfiles", Method: http.MethodPut, Path: dotfiles, Summary: "Say where the caller's dotfiles are",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.setDotfiles)
	huma.Register(h, huma.Operation{
		OperationID: "agent-git-credential", Method: http.MethodPost, Path: "/api/v1/agent/git-credential", Security: asAgent(), MaxBodyBytes: maxBody,
		Summary: "What the owner of the agent's workspace keeps for a git server",
	}, a.agentGitCredential)
}

// origin reads SCHEME://HOST[:PORT] as it is kept: in lower case, with nothing after.
func origin(text string) (string, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || !isText(text) {
		return "", huma.Error422UnprocessableEntity("origin: want https://HOST[:PORT], or http:// of a server that has no more")
	}
	return strings.ToLower(u.Scheme + "://" + u.Host), nil
}

func (a *API) listGitCredentials(ctx context.Context, in *struct{ Page }) (*body[sdk.List[sdk.GitCredential]], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Token); err != nil {
		return nil, err
	}
	list, err := a.Store.GitCredentials(ctx, caller(ctx).UserID)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.GitCredential, 0, len(list))
	for _, c := range list {
		items = append(items, sdk.GitCredential{Origin: c.Origin, Username: c.Username, CreatedAt: c.CreatedAt, UsedAt: c.UsedAt})
	}
	return slice(items, "git-credentials", caller(ctx).UserID.String(), in.Page, func(c sdk.GitCredential) string { return c.Origin })
}

func (a *API) setGitCredential(ctx context.Context, in *body[sdk.SetGitCredential]) (*struct{}, error) {
	if err := a.allowOwn(ctx, auth.Create, auth.Token); err != nil {
		return nil, err
	}
	at, err := origin(in.Body.Origin)
	if err != nil {
		return nil, err
	}
	// They go to git a line each.
	if foreign.Printable(in.Body.Username) != in.Body.Username || foreign.Printable(in.Body.Password) != in.Body.Password {
		return nil, huma.Error422UnprocessableEntity("the user name and the password have to be of one line each, without control characters")
	}
	if err := a.Workspaces.SetGitCredential(ctx, caller(ctx).UserID, at, in.Body.Username, in.Body.Password); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) deleteGitCredential(ctx context.Context, in *struct {
	Origin string `query:"origin" maxLength:"300" required:"true" example:"https://github.com" doc:"SCHEME://HOST"`
}) (*struct{}, error) {
	if err := a.allowOwn(ctx, auth.Delete, auth.Token); err != nil {
		return nil, err
	}
	at, err := origin(in.Origin)
	if err != nil {
		return nil, err
	}
	if err := a.Store.DeleteGitCredential(ctx, caller(ctx).UserID, at); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) agentGitCredential(ctx context.Context, in *body[sdk.GitQuery]) (*body[sdk.GitSecret], error) {
	at, err := origin(in.Body.Origin)
	if err != nil {
		return nil, err
	}
	username, password, err := a.Workspaces.GitCredential(ctx, caller(ctx).AgentID, at)
	if errors.Is(err, store.ErrNotFound) {
		return nil, huma.Error404NotFound("the owner of this workspace keeps no credential for " + at + "; 'adit git-credentials set " + at + "' does")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.GitSecret]{sdk.GitSecret{Username: username, Password: password}}, nil
}

func (a *API) getDotfiles(ctx context.Context, _ *struct{}) (*body[sdk.Dotfiles], error) {
	if err := a.allowOwn(ctx, auth.Read, auth.Token); err != nil {
		return nil, err
	}
	d, err := a.Store.DotfilesOf(ctx, caller(ctx).UserID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Dotfiles]{sdk.Dotfiles{URL: d.URL, Ref: d.Ref}}, nil
}

func (a *API) setDotfiles(ctx context.Context, in *body[sdk.Dotfiles]) (*struct{}, error) {
	if err := a.allowOwn(ctx, auth.Create, auth.Token); err != nil {
		return nil, err
	}
	d := store.Dotfiles{URL: in.Body.URL, Ref: in.Body.Ref}
	if foreign.Printable(d.URL) != d.URL || foreign.Printable(d.Ref) != d.Ref || strings.HasPrefix(d.URL, "-") || strings.HasPrefix(d.Ref, "-") {
		return nil, huma.Error422UnprocessableEntity("want the URL of a git repository, and a branch or tag of it")
	}
	if err := a.Store.SetDotfiles(ctx, caller(ctx).UserID, d); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}
