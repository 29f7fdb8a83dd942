package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerSchedules(h huma.API) {
	const workspace, limits = "/api/v1/workspaces/{owner}/{name}", "/api/v1/templates/{name}/limits"
	huma.Register(h, huma.Operation{
		OperationID: "set-schedule", Method: http.MethodPatch, Path: workspace + "/schedule",
		Summary: "Say when a workspace starts and stops by itself", Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.setSchedule)
	huma.Register(h, huma.Operation{
		OperationID: "extend-workspace", Method: http.MethodPost, Path: workspace + "/extend",
		Summary: "Have a running workspace not stop for some time", Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.extendWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "wake-workspace", Method: http.MethodPost, Path: workspace + "/wake",
		Summary: "End that a workspace is dormant, without starting it", Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.wakeWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "get-template-limits", Method: http.MethodGet, Path: limits, Summary: "Show what a template says of its workspaces", Security: signedIn(),
	}, a.getLimits)
	huma.Register(h, huma.Operation{
		OperationID: "set-template-limits", Method: http.MethodPut, Path: limits, Summary: "Set what a template says of its workspaces",
		Security: signedIn(), MaxBodyBytes: maxBody,
	}, a.setLimits)
}

func (a *API) setSchedule(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
	Body sdk.SetSchedule
}) (*tagged[sdk.Workspace], error) {
	w, err := a.find(ctx, auth.Update, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	n := store.Schedule{Autostart: in.Body.Autostart}
	if in.Body.TTL != nil {
		n.TTL = new(time.Duration(*in.Body.TTL) * time.Second)
	}
	if err := a.Workspaces.SetSchedule(ctx, w, n, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return a.getWorkspace(ctx, &in.WorkspacePath)
}

func (a *API) extendWorkspace(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
	Body sdk.Extend
}) (*tagged[sdk.Workspace], error) {
	w, err := a.made(ctx, auth.Operate, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.Workspaces.Extend(ctx, w.ID, time.Duration(in.Body.Seconds)*time.Second, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return a.getWorkspace(ctx, &in.WorkspacePath)
}

func (a *API) wakeWorkspace(ctx context.Context, in *struct {
	WorkspacePath
	IfMatch
}) (*tagged[sdk.Workspace], error) {
	w, err := a.made(ctx, auth.Operate, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if err := a.Store.WakeWorkspace(ctx, w.ID, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return a.getWorkspace(ctx, &in.WorkspacePath)
}

func (a *API) getLimits(ctx context.Context, in *TemplatePath) (*tagged[sdk.TemplateLimits], error) {
	t, err := a.template(ctx, auth.Read, *in)
	if err != nil {
		return nil, err
	}
	l, revision, err := a.Store.TemplateLimits(ctx, t.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &tagged[sdk.TemplateLimits]{version(revision), sdk.TemplateLimits{
		DefaultTTL: int64(l.DefaultTTL.Seconds()), MaxTTL: int64(l.MaxTTL.Seconds()), ActivityBump: int64(l.ActivityBump.Seconds()),
		Autostart: !l.NoAutostart, DormantAfter: int64(l.DormantAfter.Seconds()), DeleteAfter: int64(l.DeleteAfter.Seconds()), Cost: int64(l.Cost), Deprecated: l.Deprecated,
	}}, nil
}

func (a *API) setLimits(ctx context.Context, in *struct {
	TemplatePath
	IfMatch
	Body sdk.TemplateLimits
}) (*tagged[sdk.TemplateLimits], error) {
	t, err := a.template(ctx, auth.Update, in.TemplatePath)
	if err != nil {
		return nil, err
	}
	seconds := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	l := store.Limits{
		DefaultTTL: seconds(in.Body.DefaultTTL), MaxTTL: seconds(in.Body.MaxTTL), ActivityBump: seconds(in.Body.ActivityBump),
		NoAutostart: !in.Body.Autostart, DormantAfter: seconds(in.Body.DormantAfter), DeleteAfter: seconds(in.Body.DeleteAfter), Cost: int(in.Body.Cost), Deprecated: in.Body.Deprecated,
	}
	if err := workspaces.CheckLimits(l); err != nil {
		return nil, a.problem(err)
	}
	if err := a.Store.SetTemplateLimits(ctx, t.ID, l, in.versions()); err != nil {
		return nil, a.problem(err)
	}
	return a.getLimits(ctx, &in.TemplatePath)
}

// addSchedule fills in when a workspace starts and stops by itself.
func addSchedule(w *sdk.Workspace, u store.Upkeep) {
	o := workspaces.Foresee(u, time.Now())
	w.Schedule = &sdk.Schedule{
		Autostart: u.Autostart, StartsAt: never(o.StartsAt), TTL: int64(o.TTL.Seconds()), OwnTTL: u.TTL != nil, StopsAt: never(o.StopsAt),
		DormantAt: never(o.DormantAt), Dormant: u.DormantAt != nil, DeletesAt: never(o.DeletesAt),
	}
	w.Warnings = o.Warnings
}

// never is a time as JSON has it: null if it is zero.
func never(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
