package tfprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// dataSource has what data sources share.
type dataSource struct{ session *Session }

func (d *dataSource) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	d.session, _ = req.ProviderData.(*Session)
}

type workspaceData struct{ dataSource }

type workspaceModel struct {
	ID          types.String `tfsdk:"id"`
	Name        types.String `tfsdk:"name"`
	Transition  types.String `tfsdk:"transition"`
	StartCount  types.Int64  `tfsdk:"start_count"`
	AccessURL   types.String `tfsdk:"access_url"`
	Owner       types.String `tfsdk:"owner"`
	OwnerID     types.String `tfsdk:"owner_id"`
	Template    types.String `tfsdk:"template_name"`
	BuildNumber types.Int64  `tfsdk:"build_number"`
}

func (*workspaceData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "adit_workspace"
}

func (*workspaceData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The workspace that is built.",
		Attributes: map[string]schema.Attribute{
			"id":         computedText("The workspace's id, a UUID. It never changes; names do."),
			"name":       computedText("The workspace's name."),
			"transition": computedText("What the build does: `start`, `stop` or `delete`."),
			"start_count": schema.Int64Attribute{Computed: true, MarkdownDescription: "1 when the build starts the workspace, else 0. " +
				"A resource with `count = data.adit_workspace.me.start_count` is *ephemeral*: it goes when the workspace stops. " +
				"One without is *persistent*: it stays until the workspace is deleted."},
			"access_url":    computedText("The coordinator's URL, as agents reach it."),
			"owner":         computedText("The owner's user name."),
			"owner_id":      computedText("The owner's id, a UUID."),
			"template_name": computedText("The template's name."),
			"build_number":  schema.Int64Attribute{Computed: true, MarkdownDescription: "The number of the build, counted from 1."},
		},
	}
}

func (d *workspaceData) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	b, starts := d.session.build, int64(0)
	if d.session.starts() {
		starts = 1
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, workspaceModel{
		ID: types.StringValue(d.session.workspace.String()), Name: types.StringValue(b.GetWorkspaceName()),
		Transition: types.StringValue(d.session.transition()), StartCount: types.Int64Value(starts),
		AccessURL: types.StringValue(b.GetAccessUrl()),
		Owner:     types.StringValue(b.GetOwnerName()), OwnerID: types.StringValue(b.GetOwnerId()),
		Template: types.StringValue(b.GetTemplateName()), BuildNumber: types.Int64Value(int64(b.GetNumber())),
	})...)
}

type ownerData struct{ dataSource }

type ownerModel struct {
	ID    types.String `tfsdk:"id"`
	Name  types.String `tfsdk:"name"`
	Email types.String `tfsdk:"email"`
}

func (*ownerData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "adit_owner"
}

func (*ownerData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The owner of the workspace that is built.",
		Attributes: map[string]schema.Attribute{
			"id":    computedText("The owner's id, a UUID."),
			"name":  computedText("The owner's user name."),
			"email": computedText("The owner's e-mail address."),
		},
	}
}

func (d *ownerData) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	b := d.session.build
	resp.Diagnostics.Append(resp.State.Set(ctx, ownerModel{
		ID: types.StringValue(b.GetOwnerId()), Name: types.StringValue(b.GetOwnerName()), Email: types.StringValue(b.GetOwnerEmail()),
	})...)
}

func computedText(doc string) schema.StringAttribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: doc}
}
