package tfprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type scriptResource struct{ plainResource }

func (*scriptResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_script"
}

func (*scriptResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	runOn := optional("When it runs: `start` (the default), `stop`, or at times given by a cron expression of five fields, such as `0 4 * * *` by the workspace's clock or `CRON_TZ=Europe/Berlin 0 4 * * *`.",
		matches(when, "start, stop or a cron expression of five fields"))
	runOn.Computed, runOn.Default = true, stringdefault.StaticString("start")
	resp.Schema = schema.Schema{
		MarkdownDescription: "A script that an agent runs. Its output and exit code are kept.",
		Attributes: map[string]schema.Attribute{
			"agent_id":     agentID(),
			"name":         required("What people see."),
			"script":       required("The script. The account's shell runs it, unless its first line names another interpreter."),
			"run_on":       runOn,
			"blocks_login": flag("Whether log-ins wait until it is done; `false` by default."),
			"timeout":      period("How long it may take; 0 means without limit.", 0),
			"run_after": schema.ListAttribute{Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Names of scripts that run on the same and have to succeed before it begins, or run if they are services. All others run at the same time."},
			"service": flag("Whether it goes on until the workspace stops, and is started again, after ever longer pauses, when it fails. Nobody waits for it to end; `false` by default."),
		},
	}
}

type metadataResource struct{ plainResource }

func (*metadataResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_metadata"
}

func (*metadataResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "What people see of another resource, such as the size of a disk.",
		Attributes: map[string]schema.Attribute{
			"resource_id": required("The `id` of the resource that it is about."),
			"daily_cost": schema.Int64Attribute{Optional: true, Validators: []validator.Int64{atLeast(0)}, MarkdownDescription: "What the resource costs a day, in the units of quotas: " +
				"a build whose workspace would cost more than its owner may is refused before it changes anything. 0 by default."},
		},
		Blocks: map[string]schema.Block{
			"item": schema.ListNestedBlock{
				MarkdownDescription: "One thing to know of the resource.",
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"key":       required("What it is called."),
					"value":     optional("What it is."),
					"sensitive": flag("Whether the value is not to be shown; `false` by default."),
				}},
			},
		},
	}
}
