package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/meshaddr"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// describe makes what the API says of workspaces, with three queries for all that
// come from templates, and one for what the caller likes.
func (a *API) describe(ctx context.Context, list ...store.Workspace) ([]sdk.Workspace, error) {
	var built, ids []uuid.UUID
	used := make(map[uuid.UUID]bool) // templates
	for _, w := range list {
		ids = append(ids, w.ID)
		if !w.External {
			built, used[w.TemplateID] = append(built, w.ID), true
		}
	}
	favourites, err := a.Store.FavouritesAmong(ctx, caller(ctx).UserID, ids)
	if err != nil {
		return nil, err
	}
	var upkeep map[uuid.UUID]store.Upkeep
	var builds map[uuid.UUID]store.Build
	var templates map[uuid.UUID]store.Template
	if len(built) > 0 {
		if builds, err = a.Store.LastBuilds(ctx, built); err != nil {
			return nil, err
		}
		if upkeep, err = a.Store.UpkeepOf(ctx, built); err != nil {
			return nil, err
		}
		if templates, err = a.Store.TemplatesByID(ctx, slices.Collect(maps.Keys(used))); err != nil {
			return nil, err
		}
	}
	out := make([]sdk.Workspace, 0, len(list))
	for _, w := range list {
		j, err := workspaceJSON(w)
		if err != nil {
			return nil, err
		}
		if b, ok := builds[w.ID]; ok {
			if err := addBuild(&j, b, templates[w.TemplateID]); err != nil {
				return nil, err
			}
			if err := a.addWaiting(ctx, &j, b.Job); err != nil {
				return nil, err
			}
		}
		j.Favourite = favourites[w.ID]
		if u, ok := upkeep[w.ID]; ok {
			addSchedule(&j, u)
			j.Cost = u.Limits.Cost + w.DailyCost
		}
		out = append(out, j)
	}
	return out, a.addApps(ctx, out, list)
}

// addBuild fills in what a workspace has of its template and its latest build.
func addBuild(w *sdk.Workspace, b store.Build, t store.Template) error {
	last, err := buildJSON(b)
	if err != nil {
		return err
	}
	w.Template, w.TemplateVersion, w.LatestBuild = t.Name, b.VersionNumber, &last
	w.Outdated = t.ActiveNumber != 0 && t.ActiveNumber != b.VersionNumber
	why := ""
	if w.Outdated {
		why = fmt.Sprintf("version %d is active", t.ActiveNumber)
	}
	w.Conditions = append(w.Conditions, condition("up-to-date", why))
	return nil
}

// addWaiting says why a workspace's latest build has not begun.
func (a *API) addWaiting(ctx context.Context, w *sdk.Workspace, j store.Job) error {
	if j.Status != store.JobQueued {
		return nil
	}
	waits, err := a.waiting(ctx, j)
	if err != nil {
		return err
	}
	found := condition("provisioner-found", "")
	if waits != nil {
		found.Message = waits.Message
		if waits.Stuck {
			found.Status = "false"
		}
	}
	w.LatestBuild.Job.Waiting = waits
	w.Conditions = append(w.Conditions, found)
	return nil
}

// condition is true unless there is a reason why not.
func condition(kind, why string) sdk.Condition {
	c := sdk.Condition{Type: kind, Status: "true", Message: why}
	if why != "" {
		c.Status = "false"
	}
	return c
}

func workspaceJSON(w store.Workspace) (sdk.Workspace, error) {
	out := sdk.Workspace{
		ID: w.ID.String(), Owner: w.OwnerName, Name: w.Name, Organization: w.Organization, External: w.External,
		CreatedAt: w.CreatedAt, LastActiveAt: w.LastActiveAt, Agents: []sdk.Agent{}, Phase: string(w.Phase), Conditions: []sdk.Condition{},
	}
	away, notReady := "", ""
	if len(w.Agents) == 0 {
		away = "there is no agent"
	}
	for _, a := range w.Agents {
		waits, err := loginWaits(a)
		if err != nil {
			return out, err
		}
		runs, err := scriptRuns(a)
		if err != nil {
			return out, err
		}
		out.Agents = append(out.Agents, sdk.Agent{
			ID: a.ID.String(), Name: a.Name, NodeID: a.ID.String(), Address: meshaddr.FromID(a.ID),
			State: string(a.State), Version: a.Version, FirstConnectedAt: a.FirstConnectedAt,
			LastConnectedAt: a.LastConnectedAt, DisconnectedAt: a.DisconnectedAt,
			Scripts: string(a.ScriptsState), LoginWaits: waits && !admits(runs), HostKey: a.HostKey,
		})
		if a.State != store.AgentConnected {
			away = fmt.Sprintf("agent %s is %s", a.Name, a.State)
		}
		if s := a.ScriptsState; s != store.ScriptsSucceeded && (s != store.ScriptsNone || waits) {
			notReady = fmt.Sprintf("startup scripts of agent %s: %s%s", a.Name, s, culprits(runs))
		}
	}
	if w.Phase == store.PhaseStopped { // whatever was last heard of its agents
		away, notReady = "the workspace is stopped", "the workspace is stopped"
	}
	out.Conditions = append(out.Conditions, condition("agents-connected", away), condition("scripts-ready", notReady))
	return out, nil
}

// loginWaits reports whether an agent has a startup script that log-ins wait
// for.
func loginWaits(a store.Agent) (bool, error) {
	if a.Manifest == nil {
		return false, nil
	}
	m := new(provisionerv1.Agent)
	if err := lenient.Unmarshal(a.Manifest, m); err != nil {
		return false, fmt.Errorf("manifest of agent %s: %w", a.ID, err)
	}
	for _, s := range m.GetScripts() {
		if s.GetBlocksLogin() && s.GetRunOn() == "start" {
			return true, nil
		}
	}
	return false, nil
}

// scriptRuns reads what an agent said of its scripts.
func scriptRuns(a store.Agent) (runs []sdk.ScriptStatus, err error) {
	if len(a.ScriptRuns) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(a.ScriptRuns, &runs); err != nil {
		return nil, fmt.Errorf("scripts of agent %s: %w", a.ID, err)
	}
	return runs, nil
}

// admits reports whether the scripts that log-ins wait for are known and done.
func admits(runs []sdk.ScriptStatus) bool {
	for _, s := range runs {
		if s.Blocking && !s.Over() {
			return false
		}
	}
	return len(runs) > 0
}

// culprits names the startup scripts that did not succeed, for people.
func culprits(runs []sdk.ScriptStatus) string {
	var names []string
	for _, s := range runs {
		if s.RunOn == "start" && (s.State == sdk.ScriptsFailed || s.State == sdk.ScriptsTimeout) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// lenient reads what a later release may have written.
var lenient = protojson.UnmarshalOptions{DiscardUnknown: true}
