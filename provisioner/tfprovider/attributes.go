package tfprovider

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	data "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var (
	// Agents' names and apps' slugs are labels of host names.
	label         = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)
	seconds       = atLeast(0)
	when          = regexp.MustCompile(`^(start|stop|(CRON_TZ=\S+ )?[^\s=]+ \S+ \S+ \S+ \S+)$`)
)

const (
	labelRule         = "lower-case letters, digits and single hyphens between them, at most 32 in all"
	maxLabel          = 32
	parameterNameRule = "letters, digits, `_` and `-`, not beginning with a digit or `-`, at most 64 in all"
)

// plainResource has what resources share that need nothing but their place in
// the state.
type plainResource struct{ session *Session }

func (r *plainResource) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	r.session, _ = req.ProviderData.(*Session)
}

func (*plainResource) Create(_ context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	resp.State.Raw = req.Plan.Raw
}

func (*plainResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (*plainResource) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = req.Plan.Raw
}

func (*plainResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// text is an optional attribute of data sources.
func text(doc string) data.StringAttribute {
	return data.StringAttribute{Optional: true, MarkdownDescription: doc}
}

func optional(doc string, rules ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: doc, Validators: rules}
}

func required(doc string, rules ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{Required: true, MarkdownDescription: doc, Validators: rules}
}

// fixed is a required attribute whose change makes another thing of it.
func fixed(doc string, rules ...validator.String) schema.StringAttribute {
	a := required(doc, rules...)
	a.PlanModifiers = []planmodifier.String{stringplanmodifier.RequiresReplace()}
	return a
}

func computed(doc string) schema.StringAttribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: doc}
}

// agentID is the attribute that says which agent something belongs to.
func agentID() schema.StringAttribute { return fixed("The `id` of the `adit_agent` it belongs to.") }

func flag(doc string) schema.BoolAttribute {
	return schema.BoolAttribute{Optional: true, MarkdownDescription: doc}
}

// period is a number of seconds with a default.
func period(doc string, def int64) schema.Int64Attribute {
	return schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(def),
		Validators: []validator.Int64{seconds}, MarkdownDescription: fmt.Sprintf("%s In seconds; %d by default.", doc, def)}
}

func textMap(doc string) schema.MapAttribute {
	return schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: doc}
}

// check is a rule of a string.
type check struct {
	rule string
	ok   func(string) bool
}

func (c check) Description(context.Context) string         { return c.rule }
func (c check) MarkdownDescription(context.Context) string { return c.rule }

func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if v := req.ConfigValue; !v.IsNull() && !v.IsUnknown() && !c.ok(v.ValueString()) {
		resp.Diagnostics.AddAttributeError(req.Path, "Value is not accepted", fmt.Sprintf("%q: want %s.", v.ValueString(), strings.ReplaceAll(c.rule, "`", "")))
	}
}

func matches(re *regexp.Regexp, rule string) validator.String {
	return check{rule, re.MatchString}
}

func isLabel() validator.String {
	return check{labelRule, func(s string) bool { return len(s) <= maxLabel && label.MatchString(s) }}
}

func oneOf(values ...string) validator.String {
	return check{"one of " + strings.Join(values, ", "), func(s string) bool { return slices.Contains(values, s) }}
}

// atLeast is a rule of a number.
type atLeast int64

func (a atLeast) Description(context.Context) string {
	return fmt.Sprintf("a number not less than %d", a)
}
func (a atLeast) MarkdownDescription(ctx context.Context) string { return a.Description(ctx) }

func (a atLeast) ValidateInt64(ctx context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if v := req.ConfigValue; !v.IsNull() && !v.IsUnknown() && v.ValueInt64() < int64(a) {
		resp.Diagnostics.AddAttributeError(req.Path, "Value is not accepted", fmt.Sprintf("%d: want %s.", v.ValueInt64(), a.Description(ctx)))
	}
}

// atMostOne is a rule of blocks.
type atMostOne struct{}

func (atMostOne) Description(context.Context) string         { return "one block at most" }
func (atMostOne) MarkdownDescription(context.Context) string { return "one block at most" }

func (atMostOne) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	if len(req.ConfigValue.Elements()) > 1 {
		resp.Diagnostics.AddAttributeError(req.Path, "Too many blocks", "Want one at most.")
	}
}
