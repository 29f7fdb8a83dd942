package terraform

import (
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// links are what a configuration says about how resources hang together, by
// address without instances' keys.
type links struct {
	refers    map[string][]string
	ephemeral map[string]bool
	places    map[string]place
}

// place is where a block begins.
type place struct {
	file string // within the template, or absolute
	line int
}

// readLinks reads the configuration in dir, with the modules that init found,
// as data names them. What is wrong with it is for Terraform to say, and has been.
func readLinks(dir, data string) *links {
	return linksOf(configuration{root: dir, modules: readModules(data)}, (*scope).resolve)
}

// linksOf reads a configuration, in which resolve says what a reference stands for.
func linksOf(c configuration, resolve func(*scope, string) []reference) *links {
	l := &links{refers: make(map[string][]string), ephemeral: make(map[string]bool), places: make(map[string]place)}
	if root := c.scope("", "", nil); root != nil {
		l.module(root, resolve, false)
	}
	return l
}

// module is one that init found.
type module struct{ Key, Source, Dir string }

// readModules returns the modules by key: their names from the root on, with
// dots between.
func readModules(data string) map[string]module {
	var found struct{ Modules []module }
	raw, err := os.ReadFile(filepath.Join(data, "modules", "modules.json"))
	if err != nil || json.Unmarshal(raw, &found) != nil {
		return nil // there are none
	}
	modules := make(map[string]module, len(found.Modules))
	for _, m := range found.Modules {
		modules[m.Key] = m
	}
	return modules
}

type configuration struct {
	root    string
	modules map[string]module
}

// dir returns where a module is.
func (c configuration) dir(key string) (string, bool) {
	if key == "" {
		return c.root, true
	}
	m, ok := c.modules[key]
	if filepath.IsAbs(m.Dir) {
		return m.Dir, ok
	}
	return filepath.Join(c.root, m.Dir), ok
}

func (l *links) module(s *scope, resolve func(*scope, string) []reference, ephemeral bool) {
	resolved := func(refs []string) (all []reference) {
		for _, ref := range refs {
			all = append(all, resolve(s, ref)...)
		}
		return all
	}
	for name, at := range s.places {
		if file, err := filepath.Rel(s.root, at.file); err == nil && filepath.IsLocal(file) {
			at.file = filepath.ToSlash(file)
		}
		l.places[s.prefix+name] = at
	}
	for name, b := range s.blocks {
		ephemeral := ephemeral || countsStarts(resolved(b["count"])) || countsStarts(resolved(b["for_each"]))
		if call, ok := strings.CutPrefix(name, "module."); ok {
			if inner := s.enter(call); inner != nil {
				l.module(inner, resolve, ephemeral)
			}
			continue
		}
		address := s.prefix + name
		l.ephemeral[address] = ephemeral
		for argument, refs := range b {
			if slices.Contains(meta, argument) {
				continue
			}
			for _, ref := range resolved(refs) {
				l.refers[address] = append(l.refers[address], ref.prefix+resourceOf(ref.name))
			}
		}
		slices.Sort(l.refers[address])
		l.refers[address] = slices.Compact(l.refers[address])
	}
}

// countsStarts reports whether how many there are depends on whether the
// workspace runs.
func countsStarts(refs []reference) bool {
	return slices.ContainsFunc(refs, func(ref reference) bool {
		return strings.HasPrefix(ref.name, "data.adit_workspace.") &&
			(strings.HasSuffix(ref.name, ".start_count") || strings.HasSuffix(ref.name, ".transition"))
	})
}

// block is a resource or a call of a module: what its arguments, and blocks in
// it, refer to, by their names.
type block map[string][]string

// meta are arguments that say how many there are and by whom.
var meta = []string{"count", "for_each", "provider"}

// aside are blocks that say how a resource is made, not what it is.
var aside = []string{"connection", "lifecycle", "provisioner"}

var moduleSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "resource", LabelNames: []string{"type", "name"}},
	{Type: "module", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "output", LabelNames: []string{"name"}},
	{Type: "data", LabelNames: []string{"type", "name"}},
}}

// readBlocks reads a module's resources and calls by address within it, and apart
// from them its values: "locals", and "output." with a name. Files that override
// come last, and what they have wins. Places are of resources and data, where they
// were written first.
func readBlocks(dir string) (blocks, values map[string]block, places map[string]place) {
	blocks, values, places = make(map[string]block), make(map[string]block), make(map[string]place)
	for path, file := range parsedFiles(dir) {
		content, _, _ := file.Body.PartialContent(moduleSchema)
		for _, b := range content.Blocks {
			address, into := strings.Join(b.Labels, "."), blocks
			switch b.Type {
			case "data":
				address = "data." + address
				fallthrough
			case "resource":
				if _, known := places[address]; !known {
					places[address] = place{path, b.DefRange.Start.Line}
				}
			}
			switch b.Type {
			case "data":
				continue // what it refers to nobody asks
			case "module":
				address = "module." + address
			case "locals":
				address, into = "locals", values
			case "output":
				address, into = "output."+address, values
			}
			if into[address] == nil {
				into[address] = make(block)
			}
			for name, refs := range readBody(b.Body) {
				into[address][name] = refs
			}
		}
	}
	return blocks, values, places
}

// parsedFiles yields the files of a module that can be read, in the order of
// configFiles, by their paths.
func parsedFiles(dir string) iter.Seq2[string, *hcl.File] {
	return func(yield func(string, *hcl.File) bool) {
		parser := hclparse.NewParser()
		for _, path := range configFiles(dir) {
			parse := parser.ParseHCLFile
			if strings.HasSuffix(path, ".json") {
				parse = parser.ParseJSONFile
			}
			file, _ := parse(path)
			if file != nil && file.Body != nil && !yield(path, file) {
				return
			}
		}
	}
}

// configFiles are a module's files in the order in which Terraform reads them.
func configFiles(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var files, overrides []string
	for _, e := range entries {
		name := e.Name()
		base, ok := strings.CutSuffix(strings.TrimSuffix(name, ".json"), ".tf")
		switch {
		case !ok, e.IsDir(), strings.HasPrefix(name, "."):
		case base == "override", strings.HasSuffix(base, "_override"):
			overrides = append(overrides, filepath.Join(dir, name))
		default:
			files = append(files, filepath.Join(dir, name))
		}
	}
	return append(files, overrides...)
}

func readBody(body hcl.Body) block {
	b := make(block)
	native, ok := body.(*hclsyntax.Body)
	if !ok { // JSON, in which blocks look as arguments do
		arguments, _ := body.JustAttributes()
		for name, a := range arguments {
			b.refer(name, a.Expr)
		}
	} else {
		for name, a := range native.Attributes {
			b.refer(name, a.Expr)
		}
		for _, inner := range native.Blocks {
			b.within(inner.Type, inner)
		}
	}
	for _, name := range aside {
		delete(b, name)
	}
	return b
}

// within adds what is referred to anywhere in a block under the name of the
// outermost.
func (b block) within(name string, inner *hclsyntax.Block) {
	b.mention(name)
	for _, a := range inner.Body.Attributes {
		b.refer(name, a.Expr)
	}
	for _, deeper := range inner.Body.Blocks {
		b.within(name, deeper)
	}
}

func (b block) refer(name string, e hcl.Expression) {
	refs := e.Variables()
	if name == "depends_on" { // in JSON these are references without being expressions
		refs = nil
		list, _ := hcl.ExprList(e)
		for _, e := range list {
			if ref, diags := hcl.AbsTraversalForExpr(e); !diags.HasErrors() {
				refs = append(refs, ref)
			}
		}
	}
	b.mention(name)
	for _, ref := range refs {
		b[name] = append(b[name], dotted(ref))
	}
}

// mention makes a name known: an override may refer to nothing.
func (b block) mention(name string) {
	if b[name] == nil {
		b[name] = []string{}
	}
}

// dotted writes a reference without instances' keys.
func dotted(t hcl.Traversal) string {
	var names []string
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			names = append(names, s.Name)
		case hcl.TraverseAttr:
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ".")
}
