package tfprovider

import (
	"context"
	"net"
	"net/url"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

type appResource struct{ plainResource }

func (*appResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "adit_app"
}

func (*appResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	share := optional("Who may use it: `owner` (the default), `authenticated` or `public`.", oneOf("owner", "authenticated", "public"))
	share.Computed, share.Default = true, stringdefault.StaticString("owner")
	resp.Schema = schema.Schema{
		MarkdownDescription: "An application of an agent's: one that it runs, or that something else does. One check at most says whether it is well.",
		Attributes: map[string]schema.Attribute{
			"agent_id":             agentID(),
			"slug":                 required("What it is called in URLs: "+labelRule+".", isLabel()),
			"display_name":         optional("What people see; the slug if left out."),
			"url":                  optional("Where it is, as the agent sees it: `http://localhost:8080`. Left out if it has no pages.", isHTTP()),
			"subdomain":            flag("Whether it has a host name of its own. Applications that cannot live below a path need one. `false` by default."),
			"share":                share,
			"command":              optional("What the agent runs, by the account's shell, and starts again whenever it ends. Left out if something else runs it."),
			"healthcheck_url":      optional("What the agent asks to see whether it is well: it is unless the status is 500 or more.", isHTTP()),
			"healthcheck_tcp":      optional("`HOST:PORT` that takes connections while it is well.", isHostPort()),
			"healthcheck_command":  optional("What the account's shell runs to see whether it is well: the exit code is 0."),
			"healthcheck_interval": period("How often it is checked.", 5),
			"healthcheck_threshold": schema.Int64Attribute{Optional: true, Computed: true, Default: int64default.StaticInt64(3),
				Validators: []validator.Int64{atLeast(1)}, MarkdownDescription: "How often in a row a check has to fail for it to be ill; 3 by default."},
		},
	}
}

func isHTTP() check {
	return check{"a URL that begins with http:// or https://", func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
	}}
}

func isHostPort() check {
	return check{"HOST:PORT", func(s string) bool {
		host, port, err := net.SplitHostPort(s)
		n, portErr := strconv.ParseUint(port, 10, 16)
		return err == nil && portErr == nil && host != "" && n > 0
	}}
}
