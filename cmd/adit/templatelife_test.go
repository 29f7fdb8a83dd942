package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/provisioner/standin"
)

// templateTests are added to the example template: one of Terraform's own tests, which
// holds as long as there is an agent.
const templateTests = `
run "plan" {
  command = plan
  assert {
    condition     = adit_agent.main.name == "%s"
    error_message = "the agent is called otherwise"
  }
}
`

// A template's life: from a repository, tested, promoted, compared, and given up.
func TestTemplateLife(t *testing.T) {
	d := deployWithTemplate(t, "process", "# the first version\n")
	repository := filepath.Join(d.dir, "repository")
	dir := filepath.Join(repository, "templates", "process")
	d.must("templates", "init", "process", dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(argv ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", repository, "-c", "user.name=alice", "-c", "user.email=alice@example.com"}, argv...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", argv, err, out)
		}
	}
	write("added.tf", "# the second version\n")
	write("agent.tftest.hcl", strings.Replace(templateTests, "%s", "main", 1))
	git("init", "--quiet", "--initial-branch", "main")
	git("add", ".")
	git("commit", "--quiet", "-m", "The second version")
	d.must("templates", "push", "process", "--git", repository, "--ref", "main", "-d", "templates/process", "--inactive")
	var versions []sdk.TemplateVersion
	d.json(&versions, "templates", "versions", "process", "-o", "json")
	if v := versions[0]; v.Number != 2 || v.Active || !strings.HasSuffix(v.Message, " The second version") {
		t.Errorf("from the repository comes %+v", v)
	}
	if _, err := d.adit("templates", "push", "process", "--git", repository, "--ref", "nothing"); err == nil || !strings.Contains(err.Error(), "git clone") {
		t.Errorf("a branch that is not there: %v", err)
	}
	if _, err := d.adit("templates", "push", "process", "--git", repository, "-d", "../.."); err == nil || !strings.Contains(err.Error(), "directory of the repository") {
		t.Errorf("a directory outside: %v", err)
	}

	diff := d.must("templates", "diff", "process")
	for _, want := range []string{"--- a/added.tf\n+++ b/added.tf\n@@ -1 +1 @@\n-# the first version\n+# the second version\n", "--- /dev/null\n+++ b/agent.tftest.hcl\n"} {
		if !strings.Contains(diff, want) {
			t.Errorf("the difference is\n%s, want in it\n%s", diff, want)
		}
	}
	for want, argv := range map[string][]string{
		"The files of " + dir + " are those of version 2.":          {"2", "-d", dir},
		"both are version 2. Try 'adit templates diff process 1 2'": {"2"},
		"version 1 is the first":                                    {"1", "1"},
	} {
		cmd := d.command(d.laptop, append([]string{"templates", "diff", "process"}, argv...)...)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		err := d.laptop.Start(cmd)
		if err == nil {
			err = cmd.Wait()
		}
		if err != nil || out.Len() > 0 || !strings.Contains(said.String(), want) {
			t.Errorf("diff %v is %q, %v, and it says %q", argv, out.String(), err, said.String())
		}
	}

	passed := func(argv ...string) []testStep {
		t.Helper()
		out, err := d.adit(append([]string{"templates", "test", "process", "-o", "json"}, argv...)...)
		var list []testStep
		if jerr := json.Unmarshal([]byte(out), &list); jerr != nil {
			t.Fatalf("%v, %v: %s", err, jerr, out)
		}
		for _, one := range list {
			if one.Result == "failed" && err == nil {
				t.Errorf("%s failed, and the command did not", one.Step)
			}
		}
		return list
	}
	told := func(list []testStep) string {
		var parts []string
		for _, one := range list {
			parts = append(parts, one.Step+" "+one.Result)
		}
		return strings.Join(parts, ", ")
	}
	const all = "terraform test passed, import passed, create passed, ssh passed, stop passed, start passed, ssh again passed, delete passed"
	list := passed("-d", dir)
	if got := told(list); got != all {
		t.Errorf("the test says %s: %+v", got, list)
	}
	write("agent.tftest.hcl", strings.Replace(templateTests, "%s", "other", 1))
	if list := passed("-d", dir); told(list) != "terraform test failed" {
		t.Errorf("a test of Terraform's that fails is %+v", list)
	}
	write("agent.tftest.hcl", "")
	write("fails.tf", "resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" { command = \"exit 3\" }\n}\n")
	if list := passed("-d", dir); told(list) != "terraform test passed, import passed, create failed, delete passed" {
		t.Errorf("a template that fails is %+v", list)
	}
	if out := d.must("list"); !strings.Contains(out, "No workspaces") {
		t.Errorf("of the tests there is left\n%s", out)
	}

	d.must("templates", "promote", "process", "2")
	d.must("templates", "edit", "process", "--deprecated", "use process2 from May on")
	if out := d.must("templates", "list"); !strings.Contains(out, "process (deprecated)") {
		t.Errorf("the list says\n%s", out)
	}
	create := d.start(d.laptop, "create.log", "create", "dev", "--template", "process")
	create.waitFor("Template process is deprecated: use process2 from May on")
	if err := create.wait(); err != nil {
		t.Errorf("a deprecated template: %v", err)
	}
	if out := d.must("show", "dev"); !strings.Contains(out, "its template is deprecated: use process2 from May on") {
		t.Errorf("show says\n%s", out)
	}
	d.must("templates", "edit", "process", "--deprecated", "")
	if out := d.must("show", "dev"); strings.Contains(out, "deprecated") {
		t.Errorf("show says\n%s", out)
	}
	d.must("delete", "-y", "dev")
}

// The same by OpenTofu, from create to delete.
func TestATemplateIsTestedByOpenTofu(t *testing.T) {
	tofu := standin.OpenTofu(t)
	d := deployWithTemplate(t, "process", "# by OpenTofu\n", "--terraform", tofu)
	dir := filepath.Join(d.dir, "template")
	if err := os.WriteFile(filepath.Join(dir, "agent.tftest.hcl"), []byte(strings.Replace(templateTests, "%s", "main", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var list []testStep
	d.json(&list, "templates", "test", "process", "-d", dir, "--terraform", tofu, "-o", "json")
	for _, one := range list {
		if one.Result != "passed" {
			t.Errorf("%s: %+v", one.Step, one)
		}
	}
	if len(list) != 8 {
		t.Errorf("there were %d steps, want 8: %+v", len(list), list)
	}
	if out := d.must("provisioners", "list"); !strings.Contains(out, "OpenTofu ") {
		t.Errorf("the list says\n%s", out)
	}
}
