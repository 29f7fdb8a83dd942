package tfprovider

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type homeResource struct{ plainResource }

type homeModel struct {
	ID   types.String `tfsdk:"id"`
	Path types.String `tfsdk:"path"`
	Host types.String `tfsdk:"host"`
}

func (*homeResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_home"
}

// kept is a computed attribute that stays what it is.
func kept(doc string) schema.StringAttribute {
	a := computed(doc)
	a.PlanModifiers = []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	return a
}

func (*homeResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The workspace's home directory on the provisioner's host, for `adit_process`. A workspace has one. It stays when " +
			"the workspace stops; when the resource goes, the directory is removed with all that is in it, after what still runs there is stopped.",
		Attributes: map[string]schema.Attribute{
			"id":   kept("The workspace's id."),
			"path": kept("The directory."),
			"host": kept("The host that has it: builds of the workspace must run there."),
		},
	}
}

func (r *homeResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.session == nil || !req.State.Raw.IsNull() {
		return
	}
	if !r.session.hasHost(&resp.Diagnostics) {
		return
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("id"), r.session.workspace.String())...)
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("path"), r.session.host.Home(r.session.workspace))...)
}

func (r *homeResource) Create(ctx context.Context, _ resource.CreateRequest, resp *resource.CreateResponse) {
	id, err := r.session.host.ID()
	if err == nil {
		err = r.session.host.MakeHome(r.session.workspace)
	}
	if err != nil {
		resp.Diagnostics.AddError("The home directory cannot be made", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, homeModel{
		ID:   types.StringValue(r.session.workspace.String()),
		Path: types.StringValue(r.session.host.Home(r.session.workspace)),
		Host: types.StringValue(id),
	})...)
}

func (r *homeResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m homeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	// A data directory that moved takes the homes with it.
	m.Path = types.StringValue(r.session.host.Home(r.session.workspace))
	if _, err := os.Stat(m.Path.ValueString()); errors.Is(err, fs.ErrNotExist) && r.session.starts() {
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

func (r *homeResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m homeModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || !r.session.isHere(m.Host, &resp.Diagnostics) {
		return
	}
	id, err := uuid.Parse(m.ID.ValueString())
	if err == nil {
		err = r.session.host.Remove(ctx, id)
	}
	if err != nil {
		resp.Diagnostics.AddError("The home directory cannot be removed", err.Error())
	}
}

// hasHost reports whether there is a place for what runs on this host.
func (s *Session) hasHost(d *diag.Diagnostics) bool {
	if s.host.Dir == "" {
		d.AddError("No data directory", "What runs on the provisioner's host is kept track of in its data directory, and ADIT_DATA_DIR does not name it.")
	}
	return s.host.Dir != ""
}

// isHere reports whether a resource of a host is on this one. Taking another
// host's for gone would leave it running there for ever.
func (s *Session) isHere(host types.String, d *diag.Diagnostics) bool {
	if !s.hasHost(d) {
		return false
	}
	id, err := s.host.ID()
	if err != nil {
		d.AddError("The host's id cannot be read", err.Error())
		return false
	}
	if host.ValueString() != id {
		d.AddAttributeError(path.Root("host"), "It is on another host",
			"The provisioner that made it has the host id "+host.ValueString()+", and this one is "+id+
				". Give the template a tag that only that provisioner has.")
		return false
	}
	return true
}
