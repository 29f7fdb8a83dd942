package templates_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/aditmesh/adit/provisioner/templates"
)

// Providers that are not at hand are replaced by what they say of their resources, in
// the form of 'terraform providers schema -json', without descriptions and without the
// resources that no template has.
func TestTemplatesKeepToRecordedSchemas(t *testing.T) {
	for _, of := range []struct{ template, provider, prefix string }{
		{"gcp-linux", "google", "google_"},          // 7.45.0
		{"hetzner", "hcloud", "hcloud_"},            // 1.68.0
		{"kubernetes", "kubernetes", "kubernetes_"}, // 3.2.1
	} {
		t.Run(of.template, func(t *testing.T) {
			schemas := recorded(t, of.provider)
			body := parse(t, of.template)
			found := 0
			for _, b := range body.Blocks {
				if b.Type != "resource" || !strings.HasPrefix(b.Labels[0], of.prefix) {
					continue
				}
				found++
				schema := schemas[b.Labels[0]]
				if schema == nil {
					t.Errorf("there is no record of %s", b.Labels[0])
					continue
				}
				for _, wrong := range check(b.Body, schema.Block, b.Labels[0], true) {
					t.Error(wrong)
				}
			}
			if found == 0 {
				t.Errorf("no resource of %s", of.provider)
			}
		})
	}
}

func recorded(t *testing.T, provider string) map[string]*tfjson.Schema {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "schemas", provider+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all tfjson.ProviderSchemas
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, p := range all.Schemas {
		return p.ResourceSchemas
	}
	t.Fatalf("%s: no provider", provider)
	return nil
}

func parse(t *testing.T, name string) *hclsyntax.Body {
	t.Helper()
	dir := t.TempDir()
	if err := templates.Write(name, dir); err != nil {
		t.Fatal(err)
	}
	f, diags := hclparse.NewParser().ParseHCLFile(filepath.Join(dir, "main.tf"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body)
}

// check returns what of a block its schema does not have, or misses. Outermost is a
// resource, which has Terraform's own arguments too.
func check(body *hclsyntax.Body, schema *tfjson.SchemaBlock, at string, outermost bool) (wrong []string) {
	own := map[string]bool{"count": outermost, "for_each": outermost, "depends_on": outermost, "provider": outermost, "lifecycle": outermost}
	for name, a := range body.Attributes {
		is := schema.Attributes[name]
		switch {
		case own[name]:
		case is == nil:
			wrong = append(wrong, fmt.Sprintf("line %d: %s has no attribute %s", a.SrcRange.Start.Line, at, name))
		case !is.Required && !is.Optional:
			wrong = append(wrong, fmt.Sprintf("line %d: %s of %s cannot be set", a.SrcRange.Start.Line, name, at))
		}
	}
	for name, is := range schema.Attributes {
		if is.Required && body.Attributes[name] == nil {
			wrong = append(wrong, fmt.Sprintf("%s lacks %s", at, name))
		}
	}
	count := make(map[string]uint64)
	for _, b := range body.Blocks {
		if own[b.Type] {
			continue
		}
		count[b.Type]++
		is := schema.NestedBlocks[b.Type]
		if is == nil {
			wrong = append(wrong, fmt.Sprintf("line %d: %s has no block %s", b.TypeRange.Start.Line, at, b.Type))
			continue
		}
		wrong = append(wrong, check(b.Body, is.Block, at+"."+b.Type, false)...)
	}
	for name, is := range schema.NestedBlocks {
		if n := count[name]; n < is.MinItems || is.MaxItems > 0 && n > is.MaxItems {
			wrong = append(wrong, fmt.Sprintf("%s has %d of the block %s, want %d to %d", at, n, name, is.MinItems, is.MaxItems))
		}
	}
	return wrong
}

// A record that finds nothing would prove nothing.
func TestARecordFindsMistakes(t *testing.T) {
	schema := recorded(t, "hcloud")["hcloud_server"].Block
	f, diags := hclparse.NewParser().ParseHCL([]byte("server_type = 1\nipv4_address = 2\nsize = 3\ndisk {\n}\nnetwork {\n color = 4\n}\n"), "x.tf")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	all := strings.Join(check(f.Body.(*hclsyntax.Body), schema, "server", true), "\n")
	for _, want := range []string{"server lacks name", "ipv4_address of server cannot be set", "no attribute size", "no block disk", "server.network has no attribute color"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not among\n%s", want, all)
		}
	}
}
