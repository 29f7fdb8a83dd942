// Package adit_test keeps the house in order: which room may import which, and
// that every package says what it is for.
package adit_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aditmesh/adit"

// maxLines is how long a file may be before a newcomer gets lost in it.
const maxLines = 600

type pkg struct {
	ImportPath, Dir                    string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// room returns the first element of a path within the module.
func room(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, module+"/"), "/")
	return first
}

// under reports whether path is one of the given packages or below it.
func under(path string, roots ...string) bool {
	path = strings.TrimPrefix(path, module+"/")
	for _, r := range roots {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}

// mayImport says which arrows there are between rooms: downwards, and two more.
func mayImport(from, to string) bool {
	switch a, b := room(from), room(to); {
	case a == b, a == "cmd", b == "pkg":
		return b != "cmd" || a == "cmd"
	case b == "tunnel":
		return a == "agent" || under(from, "coordinator/proxy")
	default:
		return false
	}
}

func TestImportsRunDownwards(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
			switch {
			case strings.HasPrefix(imp, module+"/"):
				if !mayImport(p.ImportPath, imp) {
					t.Errorf("%s imports %s", p.ImportPath, imp)
				}
			case strings.HasPrefix(imp, "github.com/jackc/pgx"):
				if !under(p.ImportPath, "coordinator/store", "pkg/postgres") {
					t.Errorf("%s imports %s; only coordinator/store and pkg/postgres speak to Postgres", p.ImportPath, imp)
				}
			case strings.HasPrefix(imp, "tailscale.com/"):
				if !under(p.ImportPath, "tunnel", "derp") &&
					!(room(p.ImportPath) == "pkg" && (imp == "tailscale.com/types/key" || imp == "tailscale.com/tailcfg")) {
					t.Errorf("%s imports %s; keep it behind tunnel or derp", p.ImportPath, imp)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		documented, generated := false, len(p.GoFiles) > 0
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			isGenerated := strings.Contains(string(src[:min(len(src), 200)]), "Code generated")
			generated = generated && isGenerated
			documented = documented || f.Doc != nil
			if n := strings.Count(string(src), "\n"); n > maxLines && !isGenerated {
				t.Errorf("%s has %d lines, over %d", file, n, maxLines)
			}
		}
		if len(p.GoFiles) > 0 && !documented && !generated {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// The command line speaks to the coordinator through pkg/sdk alone: what it can do,
// other programs can.
func TestCommandsUseTheSDKAlone(t *testing.T) {
	files, err := filepath.Glob("cmd/adit/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	makes := map[string]bool{"Get": true, "Post": true, "Head": true, "NewRequest": true, "NewRequestWithContext": true, "DefaultClient": true}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "http" && makes[n.Sel.Name] {
					t.Errorf("%s uses http.%s; ask pkg/sdk", file, n.Sel.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && strings.Contains(n.Value, "/api/v1") {
					t.Errorf("%s writes %s; pkg/sdk knows the paths", file, n.Value)
				}
			}
			return true
		})
	}
}

// What runs in workspaces is built without the roles of the server's side.
func TestTheSlimProgramIsWithoutTheServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-tags", "slim", "./cmd/adit").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, p := range deps {
		if strings.HasPrefix(p, module) && under(p, "coordinator", "derp", "provisioner/terraform", "provisioner/tfprovider") {
			t.Errorf("it has %s", p)
		}
	}
	if !slices.Contains(deps, module+"/agent") {
		t.Error("it has no agent")
	}
}
