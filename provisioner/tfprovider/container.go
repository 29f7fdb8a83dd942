package tfprovider

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aditmesh/adit/provisioner/container"
	"github.com/aditmesh/adit/provisioner/process"
)

type containerResource struct{ plainResource }

type containerModel struct {
	ID          types.String      `tfsdk:"id"`
	AgentID     types.String      `tfsdk:"agent_id"`
	Token       types.String      `tfsdk:"token"`
	Image       types.String      `tfsdk:"image"`
	Pull        types.String      `tfsdk:"pull"`
	URL         types.String      `tfsdk:"url"`
	Engine      types.String      `tfsdk:"engine"`
	Env         map[string]string `tfsdk:"env"`
	Home        types.String      `tfsdk:"home"`
	User        types.String      `tfsdk:"user"`
	Hostname    types.String      `tfsdk:"hostname"`
	Network     types.String      `tfsdk:"network"`
	UserNS      types.String      `tfsdk:"user_namespace"`
	Runtime     types.String      `tfsdk:"runtime"`
	CPUs        types.Float64     `tfsdk:"cpus"`
	Memory      types.Int64       `tfsdk:"memory"`
	Processes   types.Int64       `tfsdk:"processes"`
	GPUs        types.Bool        `tfsdk:"gpus"`
	StopTimeout types.Int64       `tfsdk:"stop_timeout"`
	Host        types.String      `tfsdk:"host"`
	Mounts      []mountModel      `tfsdk:"mount"`
	Registry    []registryModel   `tfsdk:"registry"`
	Ulimits     []ulimitModel     `tfsdk:"ulimit"`
}

type mountModel struct {
	Volume   types.String `tfsdk:"volume"`
	Source   types.String `tfsdk:"source"`
	Path     types.String `tfsdk:"path"`
	ReadOnly types.Bool   `tfsdk:"read_only"`
}

type registryModel struct {
	Address  types.String `tfsdk:"address"`
	Username types.String `tfsdk:"username"`
	Password types.String `tfsdk:"password"`
}

type ulimitModel struct {
	Name types.String `tfsdk:"name"`
	Soft types.Int64  `tfsdk:"soft"`
	Hard types.Int64  `tfsdk:"hard"`
}

func (*containerResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_container"
}

// engine is the attribute that says where Docker or Podman is.
func engine() schema.StringAttribute {
	a := optional("The engine's socket, `unix://` and a path; what `DOCKER_HOST` or `CONTAINER_HOST` of the provisioner says if left out, "+
		"else the first of the usual places where there is one.", isSocket())
	a.Computed = true
	return a
}

func (*containerResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	token := required("The agent's `token`.")
	token.Sensitive = true
	password := required("The password, or a token.")
	password.Sensitive = true
	url := optional("The coordinator's URL as the container can reach it; the one that all agents use if left out.", isHTTP())
	url.Computed = true
	network := optional("The engine's network; its own default if left out, or `host` where the coordinator's URL is this host's loopback.")
	network.Computed = true
	positive := func(doc string) schema.Int64Attribute {
		return schema.Int64Attribute{Optional: true, Validators: []validator.Int64{atLeast(1)}, MarkdownDescription: doc}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "An agent in a container of Docker or Podman on the provisioner's host. Any Linux image with a `/bin/sh` will do: the " +
			"agent is mounted into it as its first process, which reaps what is left behind. The container is made anew by each build that " +
			"starts the workspace, so keep what has to stay in an `adit_volume`.",
		Attributes: map[string]schema.Attribute{
			"id":             computed("The container's id."),
			"agent_id":       fixed("The `id` of the `adit_agent` that runs."),
			"token":          token,
			"image":          required("The image. Without a tag it is `latest`."),
			"pull":           optional("When the image is fetched: `missing` (if left out), `always` or `never`.", oneOf("missing", "always", "never")),
			"url":            url,
			"engine":         engine(),
			"env":            textMap("Environment of the container. That of sessions is the agent's `env`."),
			"home":           optional("Where sessions begin and `HOME` is; as the image says of the user if left out."),
			"user":           optional("The user, `NAME` or `UID:GID`; as the image says if left out."),
			"hostname":       optional("The host's name; the workspace's if left out. Not on the network `host`."),
			"network":        network,
			"user_namespace": optional("The engine's name of a user namespace, such as `host`, or with Podman `auto` or `keep-id`."),
			"runtime":        optional("The engine's name of a runtime."),
			"cpus":           schema.Float64Attribute{Optional: true, MarkdownDescription: "How many cores it may use."},
			"memory":         positive("How much memory it may use, in MiB."),
			"processes":      positive("How many processes it may have."),
			"gpus":           flag("Whether it gets the host's GPUs. Podman needs the Container Device Interface of NVIDIA for it."),
			"stop_timeout":   period("How long the agent may take to stop, shutdown scripts included, before all is killed.", int64(process.DefaultGrace/time.Second)),
			"host":           kept("The host that it runs on: builds of the workspace must run there."),
		},
		Blocks: map[string]schema.Block{
			"mount": schema.ListNestedBlock{
				MarkdownDescription: "A volume or a path of the host, in the container.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"volume":    optional("The `id` of an `adit_volume`."),
					"source":    optional("A path of the host, instead of a volume."),
					"path":      required("Where it is in the container."),
					"read_only": flag("Whether it cannot be written."),
				}},
			},
			"registry": schema.ListNestedBlock{
				MarkdownDescription: "Who fetches the image, where not everybody may. One block at most.",
				Validators:          []validator.List{atMostOne{}},
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"address":  optional("The registry's host; that of the image if left out."),
					"username": required("The account."),
					"password": password,
				}},
			},
			"ulimit": schema.ListNestedBlock{
				MarkdownDescription: "A limit of each process.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"name": required("What is limited, such as `nofile`."),
					"soft": schema.Int64Attribute{Required: true, MarkdownDescription: "What it begins with."},
					"hard": schema.Int64Attribute{Required: true, MarkdownDescription: "What it may raise it to."},
				}},
			},
		},
	}
}

func (r *containerResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.session == nil || !r.session.hasHost(&resp.Diagnostics) {
		return
	}
	resp.Diagnostics.Append(r.complete(ctx, &resp.Plan, req.Config)...)
}

// complete sets what follows from the rest of a plan and from the provisioner.
func (r *containerResource) complete(ctx context.Context, plan *tfsdk.Plan, config tfsdk.Config) (d diag.Diagnostics) {
	var at, network, engine, agent types.String
	d.Append(config.GetAttribute(ctx, path.Root("url"), &at)...)
	d.Append(config.GetAttribute(ctx, path.Root("network"), &network)...)
	d.Append(config.GetAttribute(ctx, path.Root("engine"), &engine)...)
	d.Append(plan.GetAttribute(ctx, path.Root("agent_id"), &agent)...)
	if d.HasError() {
		return d
	}
	if !agent.IsUnknown() {
		if _, err := uuid.Parse(agent.ValueString()); err != nil {
			d.AddAttributeError(path.Root("agent_id"), "Not an agent", "It must be the id of an adit_agent: "+err.Error()+".")
		}
	}
	if at.IsNull() {
		at = types.StringValue(r.session.build.GetAccessUrl())
		d.Append(plan.SetAttribute(ctx, path.Root("url"), at)...)
	}
	if network.IsNull() && !at.IsUnknown() {
		value := ""
		if isLoopback(at.ValueString()) {
			value = "host"
		}
		d.Append(plan.SetAttribute(ctx, path.Root("network"), value)...)
	}
	if engine.IsNull() {
		d.Append(r.session.planEngine(ctx, plan)...)
	}
	return d
}

// planEngine sets the engine that the provisioner has. While a template is looked
// at there may be none.
func (s *Session) planEngine(ctx context.Context, plan *tfsdk.Plan) (d diag.Diagnostics) {
	if s.importing {
		return d
	}
	address, err := container.Find(os.LookupEnv)
	if err != nil {
		d.AddAttributeError(path.Root("engine"), "No container engine", err.Error())
		return d
	}
	return plan.SetAttribute(ctx, path.Root("engine"), address)
}

// isLoopback reports whether a URL leads to the host that one is on.
func isLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *containerResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	resp.Diagnostics.Append(r.run(ctx, req.Plan, req.Config, &resp.State)...)
}

func (r *containerResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, next containerModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &next)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// The one that is there ends first, as a workspace that stops does.
	resp.Diagnostics.Append(r.remove(ctx, old)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.State.RemoveResource(ctx) // there is none until there is another
	resp.Diagnostics.Append(r.run(ctx, req.Plan, req.Config, &resp.State)...)
}

// run makes the planned container.
func (r *containerResource) run(ctx context.Context, plan tfsdk.Plan, config tfsdk.Config, state *tfsdk.State) (d diag.Diagnostics) {
	var m containerModel
	if d.Append(r.complete(ctx, &plan, config)...); d.HasError() {
		return d
	}
	if d.Append(plan.Get(ctx, &m)...); d.HasError() {
		return d
	}
	spec, more := r.spec(m)
	if d.Append(more...); d.HasError() {
		return d
	}
	host, err := r.session.host.ID()
	if err != nil {
		d.AddError("The host's id cannot be read", err.Error())
		return d
	}
	d.Append(r.session.withEngine(ctx, m.Engine, func(e *container.Engine) error {
		id, err := e.Run(ctx, spec)
		m.ID = types.StringValue(id)
		return err
	})...)
	if d.HasError() {
		return d
	}
	m.Host = types.StringValue(host)
	state.Raw = plan.Raw // of the same type, after it was removed
	d.Append(state.Set(ctx, m)...)
	return d
}

// spec is what a plan asks for.
func (r *containerResource) spec(m containerModel) (container.Spec, diag.Diagnostics) {
	var d diag.Diagnostics
	agent, err := uuid.Parse(m.AgentID.ValueString())
	if err != nil {
		d.AddAttributeError(path.Root("agent_id"), "Not an agent", err.Error())
	}
	if m.URL.ValueString() == "" {
		d.AddAttributeError(path.Root("url"), "No coordinator", "The build does not say where the coordinator is: start it with --access-url, or name it here.")
	}
	s := container.Spec{
		Workspace: r.session.workspace, Agent: agent, Image: m.Image.ValueString(), Pull: m.Pull.ValueString(),
		Binary: r.session.host.Binary, Certificates: process.Certificates(), Env: maps.Clone(m.Env),
		User: m.User.ValueString(), Hostname: m.Hostname.ValueString(), Network: m.Network.ValueString(),
		UserNamespace: m.UserNS.ValueString(), Runtime: m.Runtime.ValueString(),
		CPUs: m.CPUs.ValueFloat64(), MemoryMiB: m.Memory.ValueInt64(), Processes: m.Processes.ValueInt64(), GPUs: m.GPUs.ValueBool(),
	}
	if s.Hostname == "" && s.Network != "host" {
		s.Hostname = r.session.build.GetWorkspaceName()
	}
	if s.Env == nil {
		s.Env = make(map[string]string)
	}
	s.Env["ADIT_URL"], s.Env["ADIT_AGENT_TOKEN"] = m.URL.ValueString(), m.Token.ValueString()
	if home := m.Home.ValueString(); home != "" {
		s.Env["HOME"], s.Env["ADIT_AGENT_HOME"] = home, home
	}
	for i, mount := range m.Mounts {
		if (mount.Volume.ValueString() == "") == (mount.Source.ValueString() == "") {
			d.AddAttributeError(path.Root("mount").AtListIndex(i), "Not a mount", "It must have either a volume or a source.")
		}
		s.Mounts = append(s.Mounts, container.Mount{
			Volume: mount.Volume.ValueString(), Source: mount.Source.ValueString(), Path: mount.Path.ValueString(), ReadOnly: mount.ReadOnly.ValueBool(),
		})
	}
	for _, reg := range m.Registry {
		s.Registry = container.Registry{Address: reg.Address.ValueString(), Username: reg.Username.ValueString(), Password: reg.Password.ValueString()}
	}
	for _, u := range m.Ulimits {
		s.Ulimits = append(s.Ulimits, container.Ulimit{Name: u.Name.ValueString(), Soft: u.Soft.ValueInt64(), Hard: u.Hard.ValueInt64()})
	}
	return s, d
}

// withEngine does something with the engine at an address. That it is used is
// written down before.
func (s *Session) withEngine(ctx context.Context, address types.String, do func(*container.Engine) error) (d diag.Diagnostics) {
	if err := (container.Ledger{Dir: s.host.Dir}).Note(s.workspace, address.ValueString()); err != nil {
		d.AddError("It cannot be written down which engine is used", err.Error())
		return d
	}
	e, err := container.Open(ctx, address.ValueString())
	if err != nil {
		d.AddAttributeError(path.Root("engine"), "The container engine cannot be reached", err.Error())
		return d
	}
	defer e.Close()
	if err := do(e); err != nil {
		d.AddError("The container engine cannot do that", err.Error())
	}
	return d
}

// Read forgets a container that no longer runs when the workspace starts, so that
// it is made again; else it is left to Delete to clear up after it.
func (r *containerResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m containerModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.starts() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	running := false
	resp.Diagnostics.Append(r.session.withEngine(ctx, m.Engine, func(e *container.Engine) (err error) {
		running, err = e.Running(ctx, m.ID.ValueString())
		return err
	})...)
	if !resp.Diagnostics.HasError() && !running {
		resp.State.RemoveResource(ctx)
	}
}

func (r *containerResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m containerModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(r.remove(ctx, m)...)
	}
}

func (r *containerResource) remove(ctx context.Context, m containerModel) (d diag.Diagnostics) {
	if !r.session.isHere(m.Host, &d) {
		return d
	}
	agent, err := uuid.Parse(m.AgentID.ValueString())
	if err != nil {
		d.AddAttributeError(path.Root("agent_id"), "Not an agent", err.Error())
		return d
	}
	grace := time.Duration(m.StopTimeout.ValueInt64()) * time.Second
	d.Append(r.session.withEngine(ctx, m.Engine, func(e *container.Engine) error {
		err := e.Remove(ctx, r.session.workspace, agent, grace)
		if errors.Is(err, container.ErrForeign) {
			return nil // so there is none of ours
		}
		return err
	})...)
	return d
}
