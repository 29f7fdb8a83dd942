package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aditmesh/adit/provisioner/tfprovider"
)

// examples are named after what they are of: TYPE.tf, and provider.tf.
//
//go:embed examples
var examples embed.FS

func run(dir string) error {
	server, err := providerserver.NewProtocol6WithError(tfprovider.New("", nil))()
	if err != nil {
		return err
	}
	all, err := server.GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return err
	}
	pages := map[string]string{
		"index.md": page("adit Provider", "", all.Provider.Block, "provider", "provider.tf", ""),
	}
	for name, s := range all.ResourceSchemas {
		pages["resources/"+short(name)+".md"] = page(name+" (Resource)", "", s.Block, "resource", name+".tf", name)
	}
	for name, s := range all.DataSourceSchemas {
		pages["data-sources/"+short(name)+".md"] = page(name+" (Data Source)", "", s.Block, "data source", name+".tf", name)
	}
	// A page whose resource is gone must go too.
	for _, sub := range []string{"resources", "data-sources"} {
		if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	for name, text := range pages {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func short(name string) string { return strings.TrimPrefix(name, "adit_") }

// page returns one page of the documentation.
func page(title, category string, b *tfprotov6.SchemaBlock, kind, example, name string) string {
	var w strings.Builder
	first, _, _ := strings.Cut(b.Description, "\n")
	heading := strings.ReplaceAll(title, "_", `\_`)
	if name == "" {
		name = "adit"
	}
	fmt.Fprintf(&w, "---\npage_title: \"%s %s - adit\"\nsubcategory: %q\ndescription: |-\n  %s\n---\n\n", name, kind, category, first)
	fmt.Fprintf(&w, "<!-- Written by gendocs: change the schema, or the example, and run make generate. -->\n\n# %s\n\n%s\n", heading, b.Description)
	if text, err := examples.ReadFile("examples/" + example); err == nil {
		fmt.Fprintf(&w, "\n## Example Usage\n\n```terraform\n%s```\n", text)
	} else if !errors.Is(err, fs.ErrNotExist) {
		panic(err) // it is part of the program
	}
	if kind != "provider" {
		w.WriteString("\n## Schema\n")
		schema(&w, b, "### ")
	}
	return w.String()
}

// lines say what there is to know of attributes, by name.
type lines map[string]string

// schema lists a block's attributes by what the author has to do about them, and
// then the blocks in it.
func schema(w *strings.Builder, b *tfprotov6.SchemaBlock, heading string) {
	need, may, read := make(lines), make(lines), make(lines)
	for _, a := range b.Attributes {
		line := fmt.Sprintf("(%s) %s", strings.Join(traits(a), ", "), a.Description)
		switch {
		case a.Required:
			need[a.Name] = line
		case a.Optional:
			may[a.Name] = line
		default:
			read[a.Name] = line
		}
	}
	blocks := slices.Clone(b.BlockTypes)
	slices.SortFunc(blocks, func(a, b *tfprotov6.SchemaNestedBlock) int { return strings.Compare(a.TypeName, b.TypeName) })
	for _, n := range blocks {
		kind := "Block List"
		if n.Nesting == tfprotov6.SchemaNestedBlockNestingModeSingle {
			kind = "Block, at most one"
		}
		may[n.TypeName] = fmt.Sprintf("(%s) %s See [below](#nestedblock--%s).", kind, n.Block.Description, n.TypeName)
	}
	for _, list := range []struct {
		title string
		lines
	}{{"Required", need}, {"Optional", may}, {"Read-Only", read}} {
		if len(list.lines) > 0 {
			fmt.Fprintf(w, "\n%s%s\n\n", heading, list.title)
			for _, name := range slices.Sorted(maps.Keys(list.lines)) {
				fmt.Fprintf(w, "- `%s` %s\n", name, list.lines[name])
			}
		}
	}
	for _, n := range blocks {
		fmt.Fprintf(w, "\n<a id=\"nestedblock--%s\"></a>\n### Nested Schema for `%s`\n", n.TypeName, n.TypeName)
		schema(w, n.Block, "#### ")
	}
}

// traits are an attribute's type, and whether it is hidden.
func traits(a *tfprotov6.SchemaAttribute) []string {
	names := map[string]string{
		"tftypes.String": "String", "tftypes.Number": "Number", "tftypes.Bool": "Boolean",
		"tftypes.Map[tftypes.String]": "Map of String",
	}
	kind, ok := names[a.Type.String()]
	if !ok {
		kind = a.Type.String()
	}
	if a.Sensitive {
		return []string{kind, "Sensitive"}
	}
	return []string{kind}
}
