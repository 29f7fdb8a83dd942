package tfprovider

import (
	"context"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
)

type portResource struct{ plainResource }

func (*portResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_port"
}

func (*portResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	onOpen := optional("What people's programs do when something begins to listen on it: `notify` (the default), `ignore` or `open`, which opens it in a browser.",
		oneOf("notify", "ignore", "open"))
	onOpen.Computed, onOpen.Default = true, stringdefault.StaticString("notify")
	visibility := optional("Who may open it in a browser: `owner` (the default), `authenticated` or `public`.", oneOf("owner", "authenticated", "public"))
	visibility.Computed, visibility.Default = true, stringdefault.StaticString("owner")
	resp.Schema = schema.Schema{
		MarkdownDescription: "What holds for a port of an agent, or for a range of ports. Ports need none to be reached.",
		Attributes: map[string]schema.Attribute{
			"agent_id":   agentID(),
			"port":       required("The port, such as `3000`, or a range, such as `3000-3010`. What is said of fewer ports goes before.", isPorts()),
			"label":      optional("What people see."),
			"protocol":   optional("What it speaks, `http`, `https` or `tcp`; the agent finds out if left out.", oneOf("http", "https", "tcp")),
			"on_open":    onOpen,
			"visibility": visibility,
		},
	}
}

func isPorts() check {
	return check{"a port from 1 to 65535, or a range of them such as 3000-3010", func(s string) bool {
		first, last, isRange := strings.Cut(s, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		if err != nil || a == 0 || !isRange {
			return err == nil && a != 0
		}
		b, err := strconv.ParseUint(last, 10, 16)
		return err == nil && a <= b
	}}
}
