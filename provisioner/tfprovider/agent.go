package tfprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aditmesh/adit/pkg/agenttoken"
)

type agentResource struct{ plainResource }

func (*agentResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_agent"
}

func (*agentResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	osAttribute := optional("Where the agent runs: `linux` (the default), `darwin` or `windows`. `init_script` is for it.",
		oneOf("linux", "darwin", "windows"))
	osAttribute.Computed, osAttribute.Default = true, stringdefault.StaticString("linux")
	auth := optional("How the agent comes by its token: it is given it (`token`, the default), or it proves to run on the instance that "+
		"`adit_agent_instance` names: `aws-instance-identity`, `google-instance-identity` or `azure-instance-identity`.",
		oneOf(tokenAuth, "aws-instance-identity", "google-instance-identity", "azure-instance-identity"))
	auth.Computed, auth.Default = true, stringdefault.StaticString(tokenAuth)
	token := computed("What the agent signs in with. It is new with each build that starts the workspace, and stays when one stops or deletes it.")
	token.Sensitive = true
	cloudInit := computed("User data for cloud-init that installs the agent, with its token unless `auth` says otherwise, and keeps it running.")
	cloudInit.Sensitive = true
	resp.Schema = schema.Schema{
		MarkdownDescription: "An agent: what people of the workspace connect to. It makes nothing by itself; a *computational* resource, " +
			"one that refers to the agent's `token` or `cloud_init`, runs it. Resources that refer to no agent are *peripheral*.",
		Attributes: map[string]schema.Attribute{
			"id":                          computed("The agent's id, a UUID. It follows from the workspace and the agent's name, and stays over all builds."),
			"name":                        fixed("The agent's name within the workspace: "+labelRule+".", isLabel()),
			"os":                          osAttribute,
			"auth":                        auth,
			"directory":                   optional("Where sessions begin: absolute, or below the home directory, which it is if left out."),
			"env":                         textMap("Environment of sessions and scripts."),
			"startup_script":              optional("Runs when the workspace has started. Its output and exit code are kept."),
			"startup_script_blocks_login": flag("Whether log-ins wait until the startup script is done; `false` by default."),
			"startup_script_timeout":      period("How long the startup script may take; 0 means without limit.", 0),
			"shutdown_script":             optional("Runs before the workspace stops."),
			"shutdown_script_timeout":     period("How long the shutdown script may take; 0 means without limit.", 0),
			"connection_timeout":          period("How long the agent may take to connect before it counts as failed.", 120),
			"forbid_file_transfer":        flag("Whether SFTP, scp and rsync are refused; `false` by default. A shell can still print a file."),
			"forbid_forwarding":           flag("Whether ports, sockets, SSH agents and X displays are not forwarded, by SSH and on the mesh; `false` by default."),
			"token":                       token,
			"init_script": computed("A script that fetches the agent from the coordinator, checks its digest and runs it: of `sh` for Linux " +
				"and macOS, of PowerShell for Windows. It has no secrets in it and finds the token in `ADIT_AGENT_TOKEN` or in the file " +
				"that `ADIT_AGENT_TOKEN_FILE` names, unless `auth` says otherwise."),
			"cloud_init": cloudInit,
		},
		Blocks: map[string]schema.Block{
			"repository": schema.ListNestedBlock{
				MarkdownDescription: "A git repository that the agent clones before scripts run, unless it is there already. Git gets credentials from those that " +
					"the workspace's owner keeps with `adit git-credentials`. What its `.gitpod.yml` or `devfile.yaml` wants to be run is run.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"url":          required("Where it is; nothing is cloned if this is empty, as a parameter may be."),
					"ref":          optional("A branch, a tag or a commit; the repository's own if left out."),
					"directory":    optional("Where it goes: absolute, or below the home directory; called as the repository if left out."),
					"depth":        schema.Int64Attribute{Optional: true, Validators: []validator.Int64{atLeast(0)}, MarkdownDescription: "How many commits are fetched; all if left out or 0."},
					"submodules":   flag("Whether its submodules are cloned, too; `false` by default."),
					"ignore_tasks": flag("Whether its `.gitpod.yml` or `devfile.yaml` is left alone; `false` by default."),
				}},
			},
			"metadata": schema.ListNestedBlock{
				MarkdownDescription: "Something that the agent measures again and again, for people to see.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"key":          required("What it is called."),
					"display_name": optional("What people see; the key if left out."),
					"script":       required("The script that prints the value."),
					"interval":     schema.Int64Attribute{Required: true, Validators: []validator.Int64{atLeast(1)}, MarkdownDescription: "Seconds between two runs."},
					"timeout":      schema.Int64Attribute{Optional: true, Validators: []validator.Int64{atLeast(1)}, MarkdownDescription: "Seconds that a run may take; as long as the interval if left out."},
				}},
			},
		},
	}
}

// tokenAuth is that an agent is given its token.
const tokenAuth = "token"

// identity is what the provider gives an agent.
type identity struct{ id, token, initScript, cloudInit types.String }

// ModifyPlan makes known what the agent will be before it is, so that what runs
// it can be planned, and the coordinator told.
func (r *agentResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.session == nil {
		return // it goes
	}
	resp.Diagnostics.Append(r.identify(ctx, &resp.Plan, req.State)...)
}

// Create is for an agent whose name was not known when it was planned.
func (r *agentResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	plan := tfsdk.Plan(resp.State)
	plan.Raw = req.Plan.Raw
	resp.Diagnostics.Append(r.identify(ctx, &plan, tfsdk.State{})...)
	resp.State.Raw = plan.Raw
}

// identify sets what is computed in a plan, if the agent's name is known.
func (r *agentResource) identify(ctx context.Context, plan *tfsdk.Plan, state tfsdk.State) (d diag.Diagnostics) {
	var name, platform, auth types.String
	d.Append(plan.GetAttribute(ctx, path.Root("name"), &name)...)
	d.Append(plan.GetAttribute(ctx, path.Root("os"), &platform)...)
	d.Append(plan.GetAttribute(ctx, path.Root("auth"), &auth)...)
	if d.HasError() || name.IsUnknown() || platform.IsUnknown() || auth.IsUnknown() {
		return d
	}
	is, kept := r.identity(name.ValueString(), platform.ValueString(), auth.ValueString()), identity{}
	if !state.Raw.IsNull() {
		d.Append(state.GetAttribute(ctx, path.Root("id"), &kept.id)...)
		d.Append(state.GetAttribute(ctx, path.Root("token"), &kept.token)...)
		d.Append(state.GetAttribute(ctx, path.Root("init_script"), &kept.initScript)...)
		d.Append(state.GetAttribute(ctx, path.Root("cloud_init"), &kept.cloudInit)...)
	}
	// A build that stops the workspace starts nothing that could use a new token,
	// and would replace what stays only to take the old one from it.
	if !r.session.starts() && kept.id.Equal(is.id) && !kept.token.IsNull() {
		is = kept
	}
	for name, value := range map[string]types.String{
		"id": is.id, "token": is.token, "init_script": is.initScript, "cloud_init": is.cloudInit,
	} {
		d.Append(plan.SetAttribute(ctx, path.Root(name), value)...)
	}
	return d
}

func (r *agentResource) identity(name, platform, auth string) identity {
	b := r.session.build
	token := agenttoken.Token(r.session.workspace, b.GetAgentSecret(), name)
	return identity{
		id:         types.StringValue(agenttoken.ID(r.session.workspace, name).String()),
		token:      types.StringValue(token),
		initScript: types.StringValue(initScript(platform, b.GetAccessUrl(), auth)),
		cloudInit:  types.StringValue(cloudInit(b.GetAccessUrl(), token, auth)),
	}
}
