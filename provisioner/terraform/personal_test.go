package terraform

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatATemplateMakesMayDependOnItsOwner(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		impersonal       bool
	}{
		{"nothing", "main.tf", `resource "adit_agent" "main" { name = "main" }`, true},
		{"whether it starts", "main.tf", "data \"adit_workspace\" \"me\" {}\nresource \"x\" \"y\" { count = data.adit_workspace.me.start_count }", true},
		{"its id", "main.tf", `name = "adit-${data.adit_workspace.me.id}"`, true},
		{"its name", "main.tf", `name = "adit-${data.adit_workspace.me.name}"`, false},
		{"its id and its owner", "main.tf", `name = "${data.adit_workspace.me.id}-${data.adit_workspace.me.owner}"`, false},
		{"its build", "main.tf", `n = data.adit_workspace.me.build_number`, false},
		{"all of it", "main.tf", `me = data.adit_workspace.me`, false},
		{"by an index", "main.tf", `me = data.adit_workspace.me["name"]`, false},
		{"one of several", "main.tf", `me = data.adit_workspace.me[0].name`, false},
		{"its owner", "main.tf", "data \"adit_owner\" \"me\" {}", false},
		{"in a module", ".terraform/modules/a/b.tf", `email = data.adit_owner.me.email`, false},
		{"in JSON", "x.tf.json", `{"name": "${data.adit_workspace.me.name}"}`, false},
		{"in a block of a block", "main.tf", "resource \"x\" \"y\" {\n  dynamic \"z\" {\n    for_each = [data.adit_workspace.me.name]\n    content {}\n  }\n}", false},
		{"in a function", "main.tf", `name = join("-", [for n in [1] : lower(data.adit_workspace.me.owner)])`, false},
		{"the id of one of several", "main.tf", `id = data.adit_workspace.me[0].id`, true},
		{"another's name", "main.tf", `name = data.adit_workspaces.me.name`, true},
		{"its owner in JSON", "x.tf.json", `{"data": {"adit_owner": {"me": {}}}}`, false},
		{"deep in JSON", "x.tf.json", `{"resource": {"x": {"y": {"z": [{"name": "a ${data.adit_workspace.me.name}"}]}}}}`, false},
		{"in a comment", "main.tf", "# data.adit_workspace.me.name\n", true},
		{"in what is no code", "README.md", "see data.adit_workspace.me.name", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := impersonal(dir); got != c.impersonal {
				t.Errorf("impersonal: %t", got)
			}
		})
	}
}

// Modules from elsewhere are not among the template's files.
func TestAModuleFromElsewhereMayDependOnTheOwner(t *testing.T) {
	own, fetched := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(fetched, "main.tf"), []byte(`email = data.adit_owner.me.email`+"\n"+`data "adit_owner" "me" {}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if !impersonal(own, filepath.Join(own, "none")) || impersonal(own, fetched) {
		t.Error("the module makes no difference")
	}
}
