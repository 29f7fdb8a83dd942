package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

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
		Summary: "The ports of a workspace: those on which something listens, and those that its template or repositories name", Security: signedIn(),
	}, a.ports)
	const port = "/api/v1/workspaces/{owner}/{name}/agents/{agent}/ports/{port}"
	huma.Register(h, huma.Operation{
		OperationID: "set-port-visibility", Method: http.MethodPut, Path: port, Summary: "Say who may open a port in a browser, whatever the template says",
		Security: signedIn(), DefaultStatus: http.StatusNoContent, MaxBodyBytes: maxBody,
	}, func(ctx context.Context, in *struct {
		PortPath
		IfMatch
		Body sdk.SetPort
	}) (*struct{}, error) {
		return nil, a.onPort(ctx, &in.PortPath, func(w uuid.UUID, p store.PortAt) error {
			return a.Store.SetPortVisibility(ctx, w, p, in.Body.Visibility, caller(ctx).UserID, in.IfMatch.versions())
		})
	})
	huma.Register(h, huma.Operation{
		OperationID: "reset-port-visibility", Method: http.MethodDelete, Path: port, Summary: "Leave it to the template who may open a port in a browser",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		PortPath
		IfMatch
	}) (*struct{}, error) {
		return nil, a.onPort(ctx, &in.PortPath, func(w uuid.UUID, p store.PortAt) error {
			return a.Store.ResetPortVisibility(ctx, w, p, in.IfMatch.versions())
		})
	})
}

// PortPath names a port of a workspace's agent.
type PortPath struct {
	WorkspacePath
	Agent string `path:"agent" maxLength:"64"`
	Port  int    `path:"port" minimum:"1" maximum:"65535" doc:"Number of the port" example:"3000"`
}

// onPort does something to a port of a workspace that the caller may share.
func (a *API) onPort(ctx context.Context, in *PortPath, do func(workspace uuid.UUID, p store.PortAt) error) error {
	w, err := a.find(ctx, auth.Share, in.Owner, in.Name)
	if err != nil {
		return err
	}
	err = store.ErrNotFound
	if slices.ContainsFunc(w.Agents, func(g store.Agent) bool { return g.Name == in.Agent }) {
		err = do(w.ID, store.PortAt{Agent: in.Agent, Port: in.Port})
	}
	if err != nil {
		return a.problem(err)
	}
	return nil
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
	chosen, err := a.Store.PortVisibilities(ctx, w.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	items := []sdk.Port{}
	for _, agent := range w.Agents {
		m, err := ManifestOf(agent)
		if err != nil {
			return nil, a.problem(err)
		}
		for _, p := range portsJSON(agent.Name, reports[agent.ID], m.GetPorts(), chosen) {
			p.Link = a.portLink(p, w, m)
			items = append(items, p)
		}
	}
	return &body[sdk.List[sdk.Port]]{sdk.List[sdk.Port]{Items: items}}, nil
}

// portLink is where a browser finds a port.
func (a *API) portLink(p sdk.Port, w store.Workspace, m *provisionerv1.Agent) string {
	if a.AppURL == nil || p.Network != "tcp" || m.GetForbidForwarding() {
		return ""
	}
	what := strconv.Itoa(p.Port)
	if p.Protocol == "https" {
		what += "s"
	}
	return a.AppURL(what, p.Agent, w.Name, w.OwnerName)
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

// ManifestOf is what an agent is to be, nothing much for one of an external
// workspace.
func ManifestOf(a store.Agent) (*provisionerv1.Agent, error) {
	m := new(provisionerv1.Agent)
	if a.Manifest == nil {
		return m, nil
	}
	if err := lenient.Unmarshal(a.Manifest, m); err != nil {
		return nil, fmt.Errorf("manifest of agent %s: %w", a.ID, err)
	}
	return m, nil
}

// portsJSON puts together what an agent sees listen, what its template says and, of
// ports of which that says nothing, what its repositories do; and what somebody has
// chosen in their place.
func portsJSON(agent string, r store.AgentReport, template []*provisionerv1.Port, chosen map[store.PortAt]string) []sdk.Port {
	said := settingsJSON(template)
	var others []sdk.PortSetting
	for _, s := range r.PortSettings {
		others = append(others, sdk.PortSetting(s))
	}
	var list []sdk.Port
	for _, p := range r.Ports {
		list = append(list, withSetting(sdk.Port{
			Agent: agent, Network: p.Network, Port: p.Port, Listening: true, Address: p.Address, Process: p.Process, PID: p.PID, Protocol: p.Protocol,
		}, said, others))
	}
	add := func(number int) {
		if !slices.ContainsFunc(list, func(p sdk.Port) bool { return p.Port == number && p.Network == "tcp" }) {
			list = append(list, withSetting(sdk.Port{Agent: agent, Network: "tcp", Port: number, Protocol: "tcp"}, said, others))
		}
	}
	for _, s := range append(slices.Clone(said), others...) {
		if s.First == s.Last { // a range says what holds if one of them is used
			add(s.First)
		}
	}
	for at := range chosen {
		if at.Agent == agent {
			add(at.Port)
		}
	}
	for i := range list {
		if v, ok := chosen[store.PortAt{Agent: agent, Port: list[i].Port}]; ok && list[i].Network == "tcp" {
			list[i].Visibility = v
		}
	}
	return list
}

// VisibilityOf is who may open a port in a browser: as somebody has chosen, the template
// says or, if that says nothing of it, the agent's repositories; the owner if nobody does.
func VisibilityOf(number int, agent store.Agent, template *provisionerv1.Agent, r store.AgentReport, chosen map[store.PortAt]string) string {
	if v, ok := chosen[store.PortAt{Agent: agent.Name, Port: number}]; ok {
		return v
	}
	var others []sdk.PortSetting
	for _, s := range r.PortSettings {
		others = append(others, sdk.PortSetting(s))
	}
	return withSetting(sdk.Port{Network: "tcp", Port: number}, settingsJSON(template.GetPorts()), others).Visibility
}

// settingsJSON is what a template says of ports.
func settingsJSON(template []*provisionerv1.Port) (list []sdk.PortSetting) {
	for _, p := range template {
		list = append(list, sdk.PortSetting{
			First: int(p.GetFirst()), Last: int(p.GetLast()), Label: p.GetLabel(), Protocol: p.GetProtocol(), OnOpen: p.GetOnOpen(), Visibility: p.GetVisibility(),
		})
	}
	return list
}

// withSetting fills in what the first that speaks of a port says of it.
func withSetting(p sdk.Port, settings ...[]sdk.PortSetting) sdk.Port {
	p.OnOpen, p.Visibility = sdk.OnOpenNotify, "owner"
	for _, s := range settings {
		found, ok := sdk.SettingOf(s, p.Port)
		if !ok {
			continue
		}
		p.Label = found.Label
		p.OnOpen, p.Visibility = cmp.Or(found.OnOpen, p.OnOpen), cmp.Or(found.Visibility, p.Visibility)
		if found.Protocol != "" && p.Network == "tcp" {
			p.Protocol = found.Protocol
		}
		break
	}
	return p
}
