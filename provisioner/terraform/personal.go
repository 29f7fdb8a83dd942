package terraform

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// impersonalFacts are those about a workspace that do not change with its owner, its
// name and its builds.
var impersonalFacts = []string{"id", "start_count", "transition", "template_name", "access_url"}

// errPersonal ends the walk through a template's files.
var errPersonal = errors.New("it depends on whose the workspace is")

// impersonal reports whether nothing that the files of a template and of its modules,
// which are below dirs, make depends on whose the workspace is and what it is called.
// It errs on the other side.
func impersonal(dirs ...string) bool {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a template without modules from elsewhere
			}
			if err != nil || !d.IsDir() {
				return err
			}
			for _, file := range parsedFiles(path) {
				if asksWho(file.Body) {
					return errPersonal
				}
			}
			return nil
		})
		if err != nil {
			return false
		}
	}
	return true
}

// asksWho reports whether a file asks for the owner, or for more of the workspace than
// is every owner's.
func asksWho(body hcl.Body) bool {
	content, _, _ := body.PartialContent(moduleSchema)
	for _, b := range content.Blocks {
		if b.Type == "data" && b.Labels[0] == "adit_owner" {
			return true
		}
	}
	return slices.ContainsFunc(mentioned(body), func(ref hcl.Traversal) bool {
		parts := append(strings.Split(dotted(ref), "."), "", "", "", "") // data.adit_workspace.NAME.FACT
		return parts[0] == "data" && (parts[1] == "adit_owner" || parts[1] == "adit_workspace" && !slices.Contains(impersonalFacts, parts[3]))
	})
}

// mentioned is all that a file refers to.
func mentioned(body hcl.Body) (all []hcl.Traversal) {
	native, ok := body.(*hclsyntax.Body)
	if !ok { // JSON, in which blocks look as arguments do
		arguments, _ := body.JustAttributes()
		for _, a := range arguments {
			all = append(all, a.Expr.Variables()...)
		}
		return all
	}
	// What it returns is of the visitor's own making, which makes none.
	_ = hclsyntax.VisitAll(native, func(n hclsyntax.Node) hcl.Diagnostics {
		if e, ok := n.(*hclsyntax.ScopeTraversalExpr); ok {
			all = append(all, e.Traversal)
		}
		return nil
	})
	return all
}
