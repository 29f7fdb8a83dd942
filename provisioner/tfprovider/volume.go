package tfprovider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aditmesh/adit/provisioner/container"
)

type volumeResource struct{ plainResource }

type volumeModel struct {
	ID     types.String `tfsdk:"id"`
	Name   types.String `tfsdk:"name"`
	Engine types.String `tfsdk:"engine"`
	Host   types.String `tfsdk:"host"`
}

func isSocket() validator.String {
	return check{"`unix://` and the path of a socket", func(s string) bool { return strings.HasPrefix(s, "unix:///") }}
}

func (*volumeResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_volume"
}

func (*volumeResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	at := engine()
	at.PlanModifiers = []planmodifier.String{stringplanmodifier.UseStateForUnknown(), stringplanmodifier.RequiresReplaceIfConfigured()}
	resp.Schema = schema.Schema{
		MarkdownDescription: "A volume of Docker or Podman on the provisioner's host, for an `adit_container`. It stays when the workspace " +
			"stops; when the resource goes, it is removed with all that is in it.",
		Attributes: map[string]schema.Attribute{
			"id":     kept("What the engine calls it."),
			"name":   fixed("What it is called among the workspace's volumes.", isLabel()),
			"engine": at,
			"host":   kept("The host that has it: builds of the workspace must run there."),
		},
	}
}

func (r *volumeResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.session == nil || !r.session.hasHost(&resp.Diagnostics) {
		return
	}
	var name, at types.String
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("name"), &name)...)
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("engine"), &at)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !name.IsUnknown() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), container.VolumeName(r.session.workspace, name.ValueString()))...)
	}
	var named types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("engine"), &named)...)
	if at.IsUnknown() && named.IsNull() {
		resp.Diagnostics.Append(r.session.planEngine(ctx, &resp.Plan)...)
	}
}

func (r *volumeResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m volumeModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	host, err := r.session.host.ID()
	if err != nil {
		resp.Diagnostics.AddError("The host's id cannot be read", err.Error())
		return
	}
	resp.Diagnostics.Append(r.session.withEngine(ctx, m.Engine, func(e *container.Engine) error {
		return e.MakeVolume(ctx, r.session.workspace, m.Name.ValueString())
	})...)
	if resp.Diagnostics.HasError() {
		return
	}
	m.ID, m.Host = types.StringValue(container.VolumeName(r.session.workspace, m.Name.ValueString())), types.StringValue(host)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

func (r *volumeResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m volumeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.starts() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	there := false
	resp.Diagnostics.Append(r.session.withEngine(ctx, m.Engine, func(e *container.Engine) (err error) {
		there, err = e.HasVolume(ctx, m.ID.ValueString())
		return err
	})...)
	if !resp.Diagnostics.HasError() && !there {
		resp.State.RemoveResource(ctx)
	}
}

func (r *volumeResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m volumeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	resp.Diagnostics.Append(r.session.withEngine(ctx, m.Engine, func(e *container.Engine) error {
		return e.RemoveVolume(ctx, r.session.workspace, m.ID.ValueString())
	})...)
}
