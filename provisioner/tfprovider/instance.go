package tfprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

type instanceResource struct{ plainResource }

func (*instanceResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_agent_instance"
}

func (*instanceResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Which instance of a cloud an agent runs on. An agent whose `auth` is an instance identity gets its token only there.",
		Attributes: map[string]schema.Attribute{
			"agent_id": agentID(),
			"instance_id": required("The instance, as its cloud calls it: `i-…` on AWS (`aws_instance.x.id`), the number on Google " +
				"(`google_compute_instance.x.instance_id`), the `vmId` on Azure (`azurerm_linux_virtual_machine.x.virtual_machine_id`)."),
		},
	}
}
