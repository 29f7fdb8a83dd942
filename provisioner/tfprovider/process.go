package tfprovider

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aditmesh/adit/provisioner/process"
)

type processResource struct{ plainResource }

type processModel struct {
	ID          types.String      `tfsdk:"id"`
	AgentID     types.String      `tfsdk:"agent_id"`
	Token       types.String      `tfsdk:"token"`
	Home        types.String      `tfsdk:"home"`
	URL         types.String      `tfsdk:"url"`
	Env         map[string]string `tfsdk:"env"`
	StopTimeout types.Int64       `tfsdk:"stop_timeout"`
	Host        types.String      `tfsdk:"host"`
}

func (*processResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_process"
}

func (*processResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	token := required("The agent's `token`.")
	token.Sensitive = true
	url := optional("The coordinator's URL; the one that all agents use if left out.", isHTTP())
	url.Computed = true
	resp.Schema = schema.Schema{
		MarkdownDescription: "An agent as a supervised process on the provisioner's own host. It goes on when the provisioner restarts, and is " +
			"started again when it ends. Where the provisioner is root, the process has PID and mount namespaces and a cgroup of its own, and " +
			"what it leaves behind ends with it.\n\n" +
			"~> **No security boundary.** The process is the provisioner's user and can do on its host whatever that user can. " +
			"Give such a template only to people who may sign in there anyway.",
		Attributes: map[string]schema.Attribute{
			"id":           computed("The agent's id."),
			"agent_id":     fixed("The `id` of the `adit_agent` that runs."),
			"token":        token,
			"home":         fixed("The `path` of the workspace's `adit_home`."),
			"url":          url,
			"env":          textMap("Environment of the process. That of sessions is the agent's `env`."),
			"stop_timeout": period("How long the agent may take to stop, shutdown scripts included, before it is killed.", int64(process.DefaultGrace/time.Second)),
			"host":         kept("The host that it runs on: builds of the workspace must run there."),
		},
	}
}

func (r *processResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.session == nil {
		return
	}
	if !r.session.hasHost(&resp.Diagnostics) {
		return
	}
	resp.Diagnostics.Append(r.complete(ctx, &resp.Plan, req.Config)...)
}

// complete sets what follows from the rest of a plan, once that is known.
func (r *processResource) complete(ctx context.Context, plan *tfsdk.Plan, config tfsdk.Config) (d diag.Diagnostics) {
	var agent, home, url types.String
	d.Append(plan.GetAttribute(ctx, path.Root("agent_id"), &agent)...)
	d.Append(plan.GetAttribute(ctx, path.Root("home"), &home)...)
	d.Append(config.GetAttribute(ctx, path.Root("url"), &url)...)
	if d.HasError() {
		return d
	}
	if want := r.session.host.Home(r.session.workspace); !home.IsUnknown() && home.ValueString() != want {
		d.AddAttributeError(path.Root("home"), "Not the workspace's home",
			home.ValueString()+" is not the path of an adit_home of this workspace, which is "+want+".")
	}
	if !agent.IsUnknown() {
		if _, err := uuid.Parse(agent.ValueString()); err != nil {
			d.AddAttributeError(path.Root("agent_id"), "Not an agent", "It must be the id of an adit_agent: "+err.Error()+".")
		}
	}
	d.Append(plan.SetAttribute(ctx, path.Root("id"), agent)...)
	if url.IsNull() {
		d.Append(plan.SetAttribute(ctx, path.Root("url"), r.session.build.GetAccessUrl())...)
	}
	return d
}

func (r *processResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	plan := req.Plan
	resp.Diagnostics.Append(r.run(ctx, plan, req.Config, &resp.State)...)
}

func (r *processResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.Diagnostics.Append(r.run(ctx, req.Plan, req.Config, &resp.State)...)
}

// run makes sure that the planned process runs.
func (r *processResource) run(ctx context.Context, plan tfsdk.Plan, config tfsdk.Config, state *tfsdk.State) (d diag.Diagnostics) {
	var m processModel
	if d.Append(r.complete(ctx, &plan, config)...); d.HasError() {
		return d
	}
	if d.Append(plan.Get(ctx, &m)...); d.HasError() {
		return d
	}
	if m.URL.ValueString() == "" {
		d.AddAttributeError(path.Root("url"), "No coordinator", "The build does not say where the coordinator is: start it with --access-url, or name it here.")
		return d
	}
	host, err := r.session.host.ID()
	if err != nil {
		d.AddError("The host's id cannot be read", err.Error())
		return d
	}
	agent, err := uuid.Parse(m.AgentID.ValueString())
	if err == nil {
		err = r.session.host.Start(ctx, process.Spec{
			Workspace: r.session.workspace, Agent: agent, URL: m.URL.ValueString(), Env: m.Env,
			Grace: time.Duration(m.StopTimeout.ValueInt64()) * time.Second, Token: m.Token.ValueString(),
		})
	}
	if err != nil {
		d.AddError("The process cannot be started", err.Error())
		return d
	}
	m.Host = types.StringValue(host)
	d.Append(state.Set(ctx, m)...)
	return d
}

// Read forgets a process that no longer runs when the workspace starts, so that
// it is made again; else it is left to Delete to clear up after it.
func (r *processResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m processModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	agent, err := uuid.Parse(m.AgentID.ValueString())
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("agent_id"), "Not an agent", err.Error())
		return
	}
	running, err := r.session.host.Running(r.session.workspace, agent)
	if err != nil {
		resp.Diagnostics.AddError("The process cannot be looked for", err.Error())
		return
	}
	if !running && r.session.starts() {
		resp.State.RemoveResource(ctx)
	}
}

func (r *processResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m processModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	agent, err := uuid.Parse(m.AgentID.ValueString())
	if err == nil {
		err = r.session.host.Stop(ctx, r.session.workspace, agent)
	}
	if err != nil {
		resp.Diagnostics.AddError("The process cannot be stopped", err.Error())
	}
}
