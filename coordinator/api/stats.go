package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxStats bounds an answer: two hours of minutes of eight agents.
const maxStats = 1000

// statsSince is how far back statistics go unless the caller says.
var statsSince = map[store.Resolution]time.Duration{
	store.Minutes: time.Hour, store.Hours: 48 * time.Hour, store.Days: 31 * 24 * time.Hour,
}

func (a *API) registerStats(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "workspace-stats", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}/stats",
		Summary: "What a workspace's agents did and used, the newest first", Security: signedIn(),
	}, a.stats)
}

func (a *API) stats(ctx context.Context, in *struct {
	WorkspacePath
	Resolution string    `query:"resolution" enum:"minute,hour,day" default:"minute" doc:"Minutes are kept for an hour or two, hours for two weeks, days for a year"`
	Since      time.Time `query:"since" doc:"An hour, two days or a month ago if left out"`
}) (*body[sdk.List[sdk.Stats]], error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	since := in.Since
	if since.IsZero() {
		since = time.Now().Add(-statsSince[store.Resolution(in.Resolution)])
	}
	list, err := a.Store.WorkspaceStats(ctx, w.ID, store.Resolution(in.Resolution), since, maxStats)
	if err != nil {
		return nil, a.problem(err)
	}
	items := make([]sdk.Stats, 0, len(list))
	for _, s := range list {
		items = append(items, statsJSON(s))
	}
	return &body[sdk.List[sdk.Stats]]{sdk.List[sdk.Stats]{Items: items}}, nil
}

func statsJSON(s store.Stats) sdk.Stats {
	j := sdk.Stats{
		Agent: s.AgentName, At: s.At, Seconds: s.Length.Seconds(), ActiveSeconds: s.Active.Seconds(),
		Sessions: sdk.Sessions{SSH: s.SSH, SFTP: s.SFTP, Forwards: s.Forwards}, RxBytes: s.RxBytes, TxBytes: s.TxBytes,
		CPU: s.CPU, CPUMax: s.CPUMax, CPULimit: s.CPULimit,
		Memory: s.Memory, MemoryMax: s.MemoryMax, MemoryLimit: s.MemoryLimit, Disk: s.Disk, DiskLimit: s.DiskLimit,
	}
	if s.LatencyMs > 0 {
		j.LatencyMs = &s.LatencyMs
	}
	return j
}

// addDetails fills in what the agents of a workspace measure: what the template
// asks for, in its order, with the last values; how their scripts are doing; and where
// sessions begin.
func (a *API) addDetails(ctx context.Context, out *sdk.Workspace, w store.Workspace) error {
	var ids []uuid.UUID
	asked := make(map[uuid.UUID][]*provisionerv1.AgentMetadata)
	reports, err := a.agentReports(ctx, w)
	if err != nil {
		return err
	}
	for i, agent := range w.Agents {
		out.Agents[i].Directory = reports[agent.ID].Directory
		if out.Agents[i].ScriptRuns, err = scriptRuns(agent); err != nil {
			return err
		}
		m, err := ManifestOf(agent)
		if err != nil {
			return err
		}
		if len(m.GetMetadata()) > 0 {
			ids, asked[agent.ID] = append(ids, agent.ID), m.GetMetadata()
		}
	}
	if len(ids) == 0 {
		return nil
	}
	values, err := a.Store.AgentMetadata(ctx, ids)
	if err != nil {
		return err
	}
	for i, agent := range w.Agents {
		for _, m := range asked[agent.ID] {
			j := sdk.AgentMetadata{Key: m.GetKey(), DisplayName: m.GetDisplayName()}
			if v, ok := values[agent.ID][m.GetKey()]; ok {
				j.Value, j.Error, j.At = v.Value, v.Err, &v.At
			}
			out.Agents[i].Metadata = append(out.Agents[i].Metadata, j)
		}
	}
	return nil
}
