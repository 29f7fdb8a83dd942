package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func (a *API) registerPorts(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "workspace-ports", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}/ports",
		Summary: "The ports of a workspace: those on which something listens, and those that its template names", Security: signedIn(),
	}, a.ports)
}

func (a *API) ports(ctx context.Context, in *WorkspacePath) (*body[sdk.List[sdk.Port]], error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	reports, err := a.agentReports(ctx, w)
	if err != nil {
		return nil, a.problem(err)
	}
	items := []sdk.Port{}
	for _, agent := range w.Agents {
		m, err := manifestOf(agent)
		if err != nil {
			return nil, a.problem(err)
		}
		items = append(items, portsJSON(agent.Name, reports[agent.ID].Ports, m.GetPorts())...)
	}
	return &body[sdk.List[sdk.Port]]{sdk.List[sdk.Port]{Items: items}}, nil
}

// agentReports returns what the agents of some workspaces last told.
func (a *API) agentReports(ctx context.Context, list ...store.Workspace) (map[uuid.UUID]store.AgentReport, error) {
	var ids []uuid.UUID
	for _, w := range list {
		for _, agent := range w.Agents {
			ids = append(ids, agent.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return a.Store.AgentReports(ctx, ids)
}

// manifestOf is what an agent is to be, nothing much for one of an external
// workspace.
func manifestOf(a store.Agent) (*provisionerv1.Agent, error) {
	m := new(provisionerv1.Agent)
	if a.Manifest == nil {
		return m, nil
	}
	if err := lenient.Unmarshal(a.Manifest, m); err != nil {
		return nil, fmt.Errorf("manifest of agent %s: %w", a.ID, err)
	}
	return m, nil
}

// portsJSON puts together what an agent sees listen and what its template says.
func portsJSON(agent string, seen []store.AgentPort, settings []*provisionerv1.Port) []sdk.Port {
	var list []sdk.Port
	for _, p := range seen {
		list = append(list, withSetting(sdk.Port{
			Agent: agent, Network: p.Network, Port: p.Port, Listening: true, Address: p.Address, Process: p.Process, PID: p.PID, Protocol: p.Protocol,
		}, settings))
	}
	for _, s := range settings {
		if s.GetFirst() != s.GetLast() { // a range says what holds if one of them is used
			continue
		}
		n := int(s.GetFirst())
		if !slices.ContainsFunc(list, func(p sdk.Port) bool { return p.Port == n && p.Network == "tcp" }) {
			list = append(list, withSetting(sdk.Port{Agent: agent, Network: "tcp", Port: n, Protocol: "tcp"}, settings))
		}
	}
	return list
}

// withSetting fills in what a template says of a port: the narrowest of what
// concerns it.
func withSetting(p sdk.Port, settings []*provisionerv1.Port) sdk.Port {
	p.OnOpen, p.Visibility = sdk.OnOpenNotify, "owner"
	var found *provisionerv1.Port
	for _, s := range settings {
		if int(s.GetFirst()) <= p.Port && p.Port <= int(s.GetLast()) && (found == nil || s.GetLast()-s.GetFirst() < found.GetLast()-found.GetFirst()) {
			found = s
		}
	}
	if found == nil {
		return p
	}
	p.Label = found.GetLabel()
	if s := found.GetOnOpen(); s != "" {
		p.OnOpen = s
	}
	if s := found.GetVisibility(); s != "" {
		p.Visibility = s
	}
	if s := found.GetProtocol(); s != "" && p.Network == "tcp" {
		p.Protocol = s
	}
	return p
}
