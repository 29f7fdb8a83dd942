package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxAgentLine bounds a line of a script, and maxAgentLines a request of 256.
// maxScriptsReport bounds what is said of 256 scripts.
const (
	maxAgentLine     = 4 << 10
	maxAgentLines    = 2 << 20
	maxScriptsReport = 512 << 10
)

func (a *API) registerAgents(h huma.API) {
	const agent = "/api/v1/agent"
	huma.Register(h, huma.Operation{
		OperationID: "agent-manifest", Method: http.MethodGet, Path: agent + "/manifest",
		Summary: "What the agent of this token is to be", Security: asAgent(),
	}, a.manifest)
	huma.Register(h, huma.Operation{
		OperationID: "agent-scripts", Method: http.MethodPut, Path: agent + "/scripts",
		Summary: "Tell how the agent's scripts are doing", Security: asAgent(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxScriptsReport,
	}, a.reportScripts)
	huma.Register(h, huma.Operation{
		OperationID: "agent-lines", Method: http.MethodPost, Path: agent + "/logs", Summary: "Keep what the agent's scripts have said",
		Security: asAgent(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxAgentLines, BodyReadTimeout: uploadTimeout,
	}, a.addAgentLines)
	huma.Register(h, huma.Operation{
		OperationID: "agent-logs", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}/agents/{agent}/logs",
		Summary: "The log of an agent's scripts, a JSON object a line", Security: signedIn(), Metadata: map[string]any{endless: true, media: ndjson},
	}, a.agentLogs)
	programs := newPrograms(a.Programs)
	huma.Register(h, huma.Operation{
		OperationID: "agent-binary", Method: http.MethodGet, Path: agent + "/binary/{os}/{arch}",
		Summary: "The program that an agent runs; its SHA-256 is in the header Adit-Sha256", Metadata: map[string]any{endless: true, media: "application/octet-stream"},
	}, programs.binary)
	huma.Register(h, huma.Operation{
		OperationID: "agent-digest", Method: http.MethodGet, Path: agent + "/binary/{os}/{arch}/sha256",
		Summary: "The SHA-256 of the program that an agent runs, in hex", Metadata: map[string]any{media: "text/plain"},
	}, programs.digestText)
}

func (a *API) manifest(ctx context.Context, in *struct {
	HostKey bool `query:"host_key" doc:"The agent has the SSH host key that it is told"`
}) (*body[sdk.Manifest], error) {
	id := caller(ctx).AgentID
	m, err := a.Workspaces.AgentManifest(ctx, id)
	if err != nil {
		return nil, a.problem(err)
	}
	last, err := a.Store.LastAgentLine(ctx, id)
	if err != nil {
		return nil, a.problem(err)
	}
	out := manifestJSON(m, last)
	if out.HostKeySeed, err = a.Workspaces.AgentHostKey(ctx, m, in.HostKey); err != nil {
		return nil, a.problem(err)
	}
	d, err := a.Store.DotfilesOf(ctx, m.OwnerID)
	if err != nil {
		return nil, a.problem(err)
	}
	if d.URL != "" {
		out.Dotfiles = &sdk.Dotfiles{URL: d.URL, Ref: d.Ref}
	}
	return &body[sdk.Manifest]{out}, nil
}

func (a *API) reportScripts(ctx context.Context, in *body[sdk.ScriptsReport]) (*struct{}, error) {
	runs := make([]sdk.ScriptStatus, 0, len(in.Body.Scripts))
	for _, s := range in.Body.Scripts {
		s.Name, s.RunOn, s.Message = strings.TrimSpace(foreign.Printable(s.Name)), foreign.Printable(s.RunOn), foreign.Printable(s.Message)
		runs = append(runs, s)
	}
	kept, err := json.Marshal(runs)
	if err != nil {
		return nil, fmt.Errorf("what an agent says of its scripts: %w", err)
	}
	if err := a.Workspaces.SetScriptsState(ctx, caller(ctx).AgentID, store.ScriptsState(in.Body.State), kept); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) addAgentLines(ctx context.Context, in *body[sdk.AgentLines]) (*struct{}, error) {
	lines := make([]store.LogLine, 0, len(in.Body.Lines))
	for _, in := range in.Body.Lines {
		l := store.LogLine{Seq: in.Seq, At: in.At, Stage: foreign.Printable(in.Stage), Level: in.Level, Text: foreign.Printable(in.Text)}
		lines = append(lines, l)
		if len(l.Text) > maxAgentLine || len(l.Stage) > 200 {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("line %d is longer than %d bytes", l.Seq, maxAgentLine))
		}
	}
	if err := a.Workspaces.AddAgentLog(ctx, caller(ctx).AgentID, lines); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil
}

func (a *API) agentLogs(ctx context.Context, in *struct {
	WorkspacePath
	Agent string `path:"agent" maxLength:"64"`
	LogQuery
}) (*huma.StreamResponse, error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	for _, agent := range w.Agents {
		if strings.EqualFold(agent.Name, in.Agent) {
			return a.agentLog(agent, in.LogQuery), nil
		}
	}
	return nil, a.problem(store.ErrNotFound)
}
