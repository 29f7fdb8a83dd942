// Package tfprovider is adit/adit, the Terraform provider by which templates
// say what a workspace is.
//
// The adit binary serves it: [Serve]. It has no settings. What it knows of the
// build that it works for comes with the environment of Terraform, from the
// provisioner:
//
//	ADIT_BUILD     the build, as JSON of provisionerv1.Build
//	ADIT_IMPORT=1  instead: there is no build, a template is looked at
//	ADIT_DATA_DIR  where what runs on this host keeps what is its own
//
// Most resources do nothing. The provisioner reads agents, apps, scripts and
// metadata from the plan; only adit_process, adit_home, adit_container and
// adit_volume make something. What a
// resource says of itself is known when it is planned, so that the coordinator
// can expect an agent before it is made.
package tfprovider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

//go:generate go run ./gendocs ../../docs/provider

const (
	// Address is the provider's source address.
	Address = "registry.terraform.io/adit/adit"

	// Command is the hidden command of the adit binary that serves the provider.
	Command = "terraform-provider"

	// binaryName is what Terraform calls a provider's binary, with a version
	// after it.
	binaryName = "terraform-provider-adit"
)

// IsProvider reports whether a program was started under the provider's name.
func IsProvider(argv0 string) bool {
	return strings.HasPrefix(filepath.Base(argv0), binaryName)
}

// Serve serves the provider to the Terraform that started this process, until
// that ends it.
func Serve(ctx context.Context, version string) error {
	session, err := newSession(os.LookupEnv)
	if err != nil {
		return err
	}
	err = providerserver.Serve(ctx, func() provider.Provider { return New(version, session) },
		providerserver.ServeOpts{Address: Address})
	if err != nil {
		return fmt.Errorf("tfprovider: %w", err)
	}
	return nil
}

// New returns the provider for a session, or for nobody if that is nil: then it
// can only describe itself.
func New(version string, s *Session) provider.Provider { return &adit{version: version, session: s} }

type adit struct {
	version string
	session *Session
}

func (p *adit) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "adit", p.version
}

func (p *adit) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Describes development workspaces: their agents, what runs on them, and what people are asked " +
			"before one is made. The provider works in builds of adit, which tells it what it has to know; there is " +
			"nothing to configure. To try a template without a build, set `ADIT_IMPORT=1`.",
	}
}

func (p *adit) Configure(_ context.Context, _ provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	if p.session == nil || p.session.build == nil {
		resp.Diagnostics.AddError("Not in a build of adit",
			"The provider learns from the environment which workspace it works for, and ADIT_BUILD is not set. "+
				"Push the template with 'adit templates push', or set ADIT_IMPORT=1 to plan it without a workspace.")
		return
	}
	resp.DataSourceData, resp.ResourceData = p.session, p.session
}

func (p *adit) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		func() resource.Resource { return &agentResource{} },
		func() resource.Resource { return &appResource{} },
		func() resource.Resource { return &containerResource{} },
		func() resource.Resource { return &portResource{} },
		func() resource.Resource { return &homeResource{} },
		func() resource.Resource { return &instanceResource{} },
		func() resource.Resource { return &metadataResource{} },
		func() resource.Resource { return &processResource{} },
		func() resource.Resource { return &scriptResource{} },
		func() resource.Resource { return &volumeResource{} },
	}
}

func (p *adit) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{
		func() datasource.DataSource { return &ownerData{} },
		func() datasource.DataSource { return &parameterData{} },
		func() datasource.DataSource { return &workspaceData{} },
	}
}
