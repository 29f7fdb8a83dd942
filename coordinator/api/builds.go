package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/sdk"
)

// BuildPath names a build.
type BuildPath struct {
	Owner  string `path:"owner" maxLength:"64"`
	Name   string `path:"name" maxLength:"64"`
	Number int    `path:"number" minimum:"1" maximum:"1000000"`
}

func (a *API) registerBuilds(h huma.API) {
	const workspace, builds = "/api/v1/workspaces/{owner}/{name}", "/api/v1/workspaces/{owner}/{name}/builds"
	huma.Register(h, huma.Operation{
		OperationID: "rename-workspace", Method: http.MethodPatch, Path: workspace, Summary: "Rename a workspace",
		Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.renameWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "create-build", Method: http.MethodPost, Path: builds, Summary: "Start, stop or delete a workspace",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
	}, a.createBuild)
	huma.Register(h, huma.Operation{
		OperationID: "list-builds", Method: http.MethodGet, Path: builds, Summary: "List a workspace's builds", Security: signedIn(),
	}, a.listBuilds)
	huma.Register(h, huma.Operation{
		OperationID: "get-build", Method: http.MethodGet, Path: builds + "/{number}", Summary: "Show a build", Security: signedIn(),
	}, a.getBuild)
	huma.Register(h, huma.Operation{
		OperationID: "cancel-build", Method: http.MethodPost, Path: builds + "/{number}/cancel", Summary: "Ask for the end of a build",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, a.cancelBuild)
	huma.Register(h, huma.Operation{
		OperationID: "build-logs", Method: http.MethodGet, Path: builds + "/{number}/logs",
		Summary: "The log of a build, a JSON object a line", Security: signedIn(), Metadata: map[string]any{endless: true, media: ndjson},
	}, a.buildLogs)
}

// made finds a workspace that a template makes and the caller may do something
// with.
func (a *API) made(ctx context.Context, action auth.Action, owner, name string) (store.Workspace, error) {
	w, err := a.find(ctx, action, owner, name)
	if err != nil {
		return w, err
	}
	if w.External {
		return w, huma.Error422UnprocessableEntity("workspace " + w.Name + " is external: no template makes it, so there is nothing to build")
	}
	return w, nil
}

func (a *API) renameWorkspace(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
	Body sdk.Rename
}) (*tagged[sdk.Workspace], error) {
	w, err := a.find(ctx, auth.Update, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.Workspaces.Rename(ctx, w.ID, in.Body.Name, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return a.getWorkspace(ctx, &WorkspacePath{Owner: in.Owner, Name: in.Body.Name})
}

func (a *API) createBuild(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
	Body sdk.NewBuild
}) (*body[sdk.Build], error) {
	action := auth.Operate
	if in.Body.Transition == string(store.Delete) {
		action = auth.Delete
	}
	w, err := a.made(ctx, action, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if err := checkTexts(in.Body.Parameters, map[string]string{"reason": in.Body.Reason}); err != nil {
		return nil, err
	}
	m := workspaces.Move{
		WorkspaceID: w.ID, Transition: store.Transition(in.Body.Transition), Update: in.Body.Version == sdk.ActiveVersion,
		Parameters: in.Body.Parameters, InitiatorID: caller(ctx).UserID, Reason: in.Body.Reason, At: in.versions(),
	}
	if in.Body.Version > 0 {
		if m.VersionID, err = a.versionID(ctx, w.TemplateID, in.Body.Version); err != nil {
			return nil, err
		}
	}
	b, err := a.Workspaces.Build(ctx, m)
	if err != nil {
		return nil, a.problem(err)
	}
	return a.answerBuild(ctx, b)
}

// versionID finds a version by number, as people name it.
func (a *API) versionID(ctx context.Context, templateID uuid.UUID, number int) (uuid.UUID, error) {
	v, err := a.Workspaces.TemplateVersionByNumber(ctx, templateID, number)
	if errors.Is(err, store.ErrNotFound) {
		return uuid.Nil, huma.Error422UnprocessableEntity(fmt.Sprintf("the template has no version %d", number))
	}
	if err != nil {
		return uuid.Nil, a.problem(err)
	}
	return v.ID, nil
}

func (a *API) answerBuild(ctx context.Context, b store.Build) (*body[sdk.Build], error) {
	out, err := buildJSON(b)
	if err == nil {
		out.Job.Waiting, err = a.waiting(ctx, b.Job)
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.Build]{out}, nil
}

func (a *API) listBuilds(ctx context.Context, in *struct {
	WorkspacePath
	Query
}) (*body[sdk.List[sdk.Build]], error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	const list = "builds"
	filter := w.ID.String() + in.Q
	q, err := in.numbered(list, filter, "status", "transition")
	if err != nil {
		return nil, err
	}
	found, err := a.Workspaces.Builds(ctx, w.ID, q)
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last store.Build) string { return cursor(list, filter, strconv.Itoa(last.Number)) })
	items := make([]sdk.Build, 0, len(found))
	for _, b := range found {
		item, err := buildJSON(b)
		if err != nil {
			return nil, a.problem(err)
		}
		items = append(items, item)
	}
	return listBody(items, next), nil
}

var jobStatuses = []string{"queued", "running", "succeeded", "failed", "canceled"}

// numbered reads a query of what is numbered, the newest first.
func (in Query) numbered(list, filter string, keys ...string) (store.BuildQuery, error) {
	q := store.BuildQuery{Max: in.Limit + 1}
	terms, err := parseFilter(in.Q, keys...)
	if err == nil {
		err = oneOf(terms, "status", jobStatuses...)
	}
	if err == nil {
		err = oneOf(terms, "transition", "start", "stop", "delete")
	}
	if err != nil {
		return q, err
	}
	q.Status, q.Transition = store.JobStatus(terms["status"]), store.Transition(terms["transition"])
	before, err := in.before(list, filter)
	q.Before = int(min(before, math.MaxInt32))
	return q, err
}

// build finds a build of a workspace that the caller may do something with.
func (a *API) build(ctx context.Context, action auth.Action, in *BuildPath) (store.Build, error) {
	w, err := a.find(ctx, action, in.Owner, in.Name)
	if err != nil {
		return store.Build{}, err
	}
	b, err := a.Workspaces.BuildByNumber(ctx, w.ID, in.Number)
	if err != nil {
		return b, a.problem(err)
	}
	return b, nil
}

func (a *API) getBuild(ctx context.Context, in *BuildPath) (*body[sdk.Build], error) {
	b, err := a.build(ctx, auth.Read, in)
	if err != nil {
		return nil, err
	}
	return a.answerBuild(ctx, b)
}

func (a *API) cancelBuild(ctx context.Context, in *struct {
	BuildPath
	Body sdk.Cancel
}) (*struct{}, error) {
	b, err := a.build(ctx, auth.Operate, &in.BuildPath)
	if err != nil {
		return nil, err
	}
	return nil, a.cancel(ctx, b.Job, in.Body.Force)
}

func (a *API) buildLogs(ctx context.Context, in *struct {
	BuildPath
	LogQuery
}) (*huma.StreamResponse, error) {
	b, err := a.build(ctx, auth.Read, &in.BuildPath)
	if err != nil {
		return nil, err
	}
	return a.jobLog(b.Job, in.LogQuery), nil
}
