package api

import (
	"encoding/hex"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// templateJSON leaves the active version out: it is more than a list needs.
func templateJSON(t store.Template) sdk.Template {
	return sdk.Template{
		ID: t.ID.String(), Name: t.Name, Organization: t.Organization, CreatedAt: t.CreatedAt, ActiveNumber: t.ActiveNumber, Workspaces: t.Workspaces, Deprecated: t.Deprecated,
	}
}

func versionJSON(v store.TemplateVersion, t store.Template) (sdk.TemplateVersion, error) {
	out := sdk.TemplateVersion{
		ID: v.ID.String(), Number: v.Number, Message: v.Message, Active: v.ID == t.ActiveVersionID, CreatedBy: v.Creator,
		CreatedAt: v.CreatedAt, Digest: hex.EncodeToString(v.Digest), Tags: orEmpty(v.Tags),
		Parameters: []sdk.Parameter{}, Variables: []sdk.Variable{}, Resources: []sdk.Resource{},
	}
	var err error
	if out.Job, err = jobJSON(v.Import); err != nil {
		return out, err
	}
	found, err := workspaces.Found(v)
	if err != nil || found == nil {
		return out, err
	}
	for _, p := range found.GetParameters() {
		out.Parameters = append(out.Parameters, parameterJSON(p))
	}
	for _, v := range found.GetVariables() {
		out.Variables = append(out.Variables, sdk.Variable{
			Name: v.GetName(), Type: v.GetType(), Description: v.GetDescription(), Required: v.GetRequired(),
			Default: v.GetDefault(), Sensitive: v.GetSensitive(),
		})
	}
	out.Resources = resourcesJSON(found.GetResources())
	out.RequiredVersion, out.RequiredProviders = found.GetRequiredVersion(), found.GetRequiredProviders()
	return out, nil
}

func parameterJSON(p *provisionerv1.Parameter) sdk.Parameter {
	out := sdk.Parameter{
		Name: p.GetName(), DisplayName: p.GetDisplayName(), Description: p.GetDescription(), Type: p.GetType(),
		Required: p.GetRequired(), Default: p.GetDefault(), Mutable: p.GetMutable(),
		Pattern: p.GetPattern(), PatternError: p.GetPatternError(), Min: p.Min, Max: p.Max,
	}
	for _, o := range p.GetOptions() {
		out.Options = append(out.Options, sdk.Option{Name: o.GetName(), Value: o.GetValue(), Description: o.GetDescription()})
	}
	return out
}

func resourcesJSON(list []*provisionerv1.Resource) []sdk.Resource {
	out := make([]sdk.Resource, 0, len(list))
	for _, r := range list {
		j := sdk.Resource{
			Address: r.GetAddress(), Type: r.GetType(), Name: r.GetName(), Ephemeral: r.GetEphemeral(), Agents: r.GetAgents(),
		}
		if j.Agents == nil {
			j.Agents = []string{}
		}
		for _, m := range r.GetMetadata() {
			md := sdk.Metadata{Key: m.GetKey(), Value: m.GetValue(), Sensitive: m.GetSensitive()}
			if md.Sensitive {
				md.Value = ""
			}
			j.Metadata = append(j.Metadata, md)
		}
		out = append(out, j)
	}
	return out
}

func buildJSON(b store.Build) (sdk.Build, error) {
	out := sdk.Build{
		ID: b.ID.String(), Number: b.Number, Transition: string(b.Transition), TemplateVersion: b.VersionNumber,
		Parameters: orEmpty(b.Parameters), Initiator: b.Initiator, Reason: b.Reason,
	}
	resources, err := workspaces.Resources(b)
	if err != nil {
		return out, err
	}
	out.Resources = resourcesJSON(resources)
	out.Job, err = jobJSON(b.Job)
	return out, err
}

func jobJSON(j store.Job) (sdk.Job, error) {
	out := sdk.Job{
		ID: j.ID.String(), Status: string(j.Status), Error: j.Error, Canceling: j.CancelRequestedAt != nil && !j.Status.Over(),
		CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
	}
	problems, err := workspaces.Problems(j)
	for _, p := range problems {
		out.Problems = append(out.Problems, sdk.Problem{
			Warning: p.GetWarning(), Summary: p.GetSummary(), Detail: p.GetDetail(), File: p.GetFile(), Line: int(p.GetLine()),
		})
	}
	return out, err
}

func manifestJSON(m workspaces.Manifest, lastLine int64) sdk.Manifest {
	out := sdk.Manifest{
		Agent: m.AgentName, Workspace: m.WorkspaceName, Owner: m.OwnerName, Directory: m.Agent.GetDirectory(), Env: m.Agent.GetEnv(),
		ConnectionTimeoutSeconds: int(m.Agent.GetConnectionTimeoutSeconds()), LastLine: lastLine,
		ForbidFileTransfer: m.Agent.GetForbidFileTransfer(), ForbidForwarding: m.Agent.GetForbidForwarding(),
	}
	for _, s := range m.Agent.GetScripts() {
		out.Scripts = append(out.Scripts, sdk.Script{
			Name: s.GetName(), Script: s.GetScript(), RunOn: s.GetRunOn(), BlocksLogin: s.GetBlocksLogin(), TimeoutSeconds: int(s.GetTimeoutSeconds()),
			RunAfter: s.GetRunAfter(), Service: s.GetService(),
		})
	}
	for _, r := range m.Agent.GetRepositories() {
		out.Repositories = append(out.Repositories, sdk.Repository{
			URL: r.GetUrl(), Ref: r.GetRef(), Directory: r.GetDirectory(), Depth: int(r.GetDepth()), Submodules: r.GetSubmodules(), IgnoreTasks: r.GetIgnoreTasks(),
		})
	}
	for _, m := range m.Agent.GetMetadata() {
		out.Metadata = append(out.Metadata, sdk.Measure{
			Key: m.GetKey(), Script: m.GetScript(), IntervalSeconds: int(m.GetIntervalSeconds()), TimeoutSeconds: int(m.GetTimeoutSeconds()),
		})
	}
	for _, app := range m.Agent.GetApps() {
		out.Apps = append(out.Apps, appJSON(app))
	}
	out.Ports = settingsJSON(m.Agent.GetPorts())
	return out
}

// orEmpty is a map that is never null in JSON.
func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
