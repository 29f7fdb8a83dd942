package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerApps(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "workspace-apps", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}/apps",
		Summary: "The apps of a workspace, and how they are doing", Security: signedIn(),
	}, a.apps)
}

func (a *API) apps(ctx context.Context, in *WorkspacePath) (*body[sdk.List[sdk.WorkspaceApp]], error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	reports, err := a.agentReports(ctx, w)
	if err != nil {
		return nil, a.problem(err)
	}
	items := []sdk.WorkspaceApp{}
	for _, agent := range w.Agents {
		m, err := ManifestOf(agent)
		if err != nil {
			return nil, a.problem(err)
		}
		for _, app := range m.GetApps() {
			j := sdk.WorkspaceApp{Agent: agent.Name, App: appJSON(app)}
			j.State, j.Why = stateOf(agent, app, reports[agent.ID])
			j.Link = a.appLink(app, agent, w)
			items = append(items, j)
		}
	}
	return &body[sdk.List[sdk.WorkspaceApp]]{sdk.List[sdk.WorkspaceApp]{Items: items}}, nil
}

// appLink is where a browser finds an app that has pages in the workspace.
func (a *API) appLink(app *provisionerv1.App, agent store.Agent, w store.Workspace) string {
	u, err := url.Parse(app.GetUrl())
	if a.AppURL == nil || err != nil || u.Host == "" {
		return ""
	}
	at := a.AppURL(app.GetSlug(), agent.Name, w.Name, w.OwnerName)
	if at == "" {
		return ""
	}
	return strings.TrimSuffix(at, "/") + u.RequestURI()
}

func appJSON(a *provisionerv1.App) sdk.App {
	j := sdk.App{
		Slug: a.GetSlug(), DisplayName: a.GetDisplayName(), URL: a.GetUrl(), Subdomain: a.GetSubdomain(), Share: a.GetShare(), Command: a.GetCommand(),
	}
	if a.GetHealthcheckUrl()+a.GetHealthcheckTcp()+a.GetHealthcheckCommand() != "" {
		j.HealthCheck = &sdk.AppCheck{
			URL: a.GetHealthcheckUrl(), TCP: a.GetHealthcheckTcp(), Command: a.GetHealthcheckCommand(),
			IntervalSeconds: int(a.GetHealthcheckIntervalSeconds()), Threshold: int(a.GetHealthcheckThreshold()),
		}
	}
	return j
}

// stateOf is how an app is doing, as its agent last told.
func stateOf(agent store.Agent, app *provisionerv1.App, r store.AgentReport) (state, why string) {
	for _, s := range r.Apps {
		if s.Slug != app.GetSlug() {
			continue
		}
		switch s.State {
		case sdk.AppUnchecked, sdk.AppStarting, sdk.AppHealthy, sdk.AppUnhealthy:
			return s.State, s.Why
		}
	}
	switch {
	case agent.State != store.AgentConnected:
		return sdk.AppUnhealthy, fmt.Sprintf("agent %s is %s", agent.Name, agent.State)
	case app.GetCommand()+app.GetHealthcheckUrl()+app.GetHealthcheckTcp()+app.GetHealthcheckCommand() == "":
		return sdk.AppUnchecked, ""
	}
	return sdk.AppStarting, ""
}

// addApps fills in whether the apps of workspaces are well.
func (a *API) addApps(ctx context.Context, out []sdk.Workspace, list []store.Workspace) error {
	type has struct {
		workspace int
		agent     store.Agent
		apps      []*provisionerv1.App
	}
	var all []has
	var with []store.Workspace
	for i, w := range list {
		for _, agent := range w.Agents {
			m, err := ManifestOf(agent)
			if err != nil {
				return err
			}
			if len(m.GetApps()) > 0 {
				all, with = append(all, has{i, agent, m.GetApps()}), append(with, w)
			}
		}
	}
	reports, err := a.agentReports(ctx, with...)
	if err != nil {
		return err
	}
	ill := make([]string, len(list))
	for _, h := range all {
		for _, app := range h.apps {
			if state, why := stateOf(h.agent, app, reports[h.agent.ID]); state == sdk.AppUnhealthy || state == sdk.AppStarting {
				ill[h.workspace] = fmt.Sprintf("app %s is %s", app.GetSlug(), state)
				if why != "" {
					ill[h.workspace] += ": " + why
				}
			}
		}
	}
	for i := range out {
		out[i].Conditions = append(out[i].Conditions, condition("apps-healthy", ill[i]))
	}
	return nil
}
