package tfprovider

import (
	"context"
	"net/url"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
)

type appResource struct{ plainResource }

func (*appResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_app"
}

func (*appResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	share := optional("Who may use it: `owner` (the default), `authenticated` or `public`.", oneOf("owner", "authenticated", "public"))
	share.Computed, share.Default = true, stringdefault.StaticString("owner")
	resp.Schema = schema.Schema{
		MarkdownDescription: "A web application that an agent makes reachable.",
		Attributes: map[string]schema.Attribute{
			"agent_id":        agentID(),
			"slug":            required("What it is called in URLs: "+labelRule+".", isLabel()),
			"display_name":    optional("What people see; the slug if left out."),
			"url":             required("Where it is, as the agent sees it: `http://localhost:8080`.", isHTTP()),
			"subdomain":       flag("Whether it has a host name of its own. Applications that cannot live below a path need one. `false` by default."),
			"share":           share,
			"healthcheck_url": optional("What the agent asks to see whether it is well.", isHTTP()),
		},
	}
}

func isHTTP() check {
	return check{"a URL that begins with http:// or https://", func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
	}}
}
