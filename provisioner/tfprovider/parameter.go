package tfprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type parameterData struct{ dataSource }

type parameterModel struct {
	Name        types.String    `tfsdk:"name"`
	DisplayName types.String    `tfsdk:"display_name"`
	Description types.String    `tfsdk:"description"`
	Type        types.String    `tfsdk:"type"`
	Default     types.String    `tfsdk:"default"`
	Mutable     types.Bool      `tfsdk:"mutable"`
	Order       types.Int64     `tfsdk:"order"`
	Value       types.String    `tfsdk:"value"`
	Options     []optionModel   `tfsdk:"option"`
	Validation  *parameterRules `tfsdk:"validation"`
}

type optionModel struct {
	Name        types.String `tfsdk:"name"`
	Value       types.String `tfsdk:"value"`
	Description types.String `tfsdk:"description"`
}

type parameterRules struct {
	Regex types.String  `tfsdk:"regex"`
	Error types.String  `tfsdk:"error"`
	Min   types.Float64 `tfsdk:"min"`
	Max   types.Float64 `tfsdk:"max"`
}

func (*parameterData) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "adit_parameter"
}

func (*parameterData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Something that people choose when they make a workspace, such as its size.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{Required: true, Validators: []validator.String{matches(parameterName, parameterNameRule)},
				MarkdownDescription: "What the parameter is called on command lines: " + parameterNameRule + ". It must not be computed."},
			"display_name": text("What it is called on forms; the name if left out."),
			"description":  text("What it is for."),
			"type": schema.StringAttribute{Optional: true, Computed: true, Validators: []validator.String{oneOf(parameterTypes...)},
				MarkdownDescription: "`string` (the default), `number`, `bool` or `list(string)`."},
			"default": text("The value if none is chosen. A parameter without one must be given a value. A number, a boolean " +
				"or a list is written as a string: `\"4\"`, `\"true\"`, `jsonencode([\"a\", \"b\"])`."),
			"mutable": schema.BoolAttribute{Optional: true,
				MarkdownDescription: "Whether the value may be changed once the workspace is made; `false` by default."},
			"order": schema.Int64Attribute{Optional: true,
				MarkdownDescription: "Where it stands on forms; of equal ones, by name."},
			"value": computedText("The value, as a string: use `tonumber`, `tobool` or `jsondecode` on it."),
		},
		Blocks: map[string]schema.Block{
			"option": schema.ListNestedBlock{
				MarkdownDescription: "A value that may be chosen. With options no other value is accepted; in a list each element is one of them.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"name":        schema.StringAttribute{Required: true, MarkdownDescription: "What people see."},
					"value":       schema.StringAttribute{Required: true, MarkdownDescription: "The value."},
					"description": text("What choosing it means."),
				}},
			},
			"validation": schema.SingleNestedBlock{
				MarkdownDescription: "What values are accepted.",
				Attributes: map[string]schema.Attribute{
					"regex": text("Of a string: a regular expression (RE2) that it must match."),
					"error": text("What to say when it does not."),
					"min":   schema.Float64Attribute{Optional: true, MarkdownDescription: "Of a number: the least it may be."},
					"max":   schema.Float64Attribute{Optional: true, MarkdownDescription: "Of a number: the most it may be."},
				},
			},
		},
	}
}

// ValidateConfig finds what is wrong whatever value is chosen.
func (d *parameterData) ValidateConfig(ctx context.Context, req datasource.ValidateConfigRequest, resp *datasource.ValidateConfigResponse) {
	var m parameterModel
	// Values that are not known yet cannot be read into the model; they are
	// checked when the data source is read.
	if !req.Config.Raw.IsFullyKnown() {
		return
	}
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	for _, p := range m.problems() {
		resp.Diagnostics.AddAttributeError(p.at, p.summary, p.detail)
	}
}

func (d *parameterData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m parameterModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	if m.Type.IsNull() {
		m.Type = types.StringValue("string")
	}
	problems := m.problems()
	if len(problems) == 0 {
		problems = m.settle(d.session)
	}
	for _, p := range problems {
		resp.Diagnostics.AddAttributeError(p.at, p.summary, p.detail)
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

// settle finds the value.
func (m *parameterModel) settle(s *Session) []problem {
	name := m.Name.ValueString()
	if value, given := s.build.GetParameters()[name]; given {
		m.Value = types.StringValue(value)
		at := path.Root("name")
		p := m.rejects(value, at)
		if p == nil {
			return nil
		}
		p.summary = "Value of parameter " + name + " is not accepted"
		return []problem{*p}
	}
	switch {
	case !m.Default.IsNull():
		m.Value = m.Default
	case s.importing:
		m.Value = types.StringValue(m.placeholder())
	default:
		return []problem{{path.Root("name"), "Parameter " + name + " has no value",
			"It has no default, so one must be chosen: --parameter " + name + "=VALUE."}}
	}
	return nil
}
