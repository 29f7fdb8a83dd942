package provisioner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

const two = `
resource "terraform_data" "home" { input = "kept" }
resource "terraform_data" "run" {
  input = "hello"
  provisioner "local-exec" { command = "echo said-by-local-exec" }
}
`

func anImport(j *provisionerv1.Job) {
	j.Work = &provisionerv1.Job_Import{Import: &provisionerv1.Import{TemplateName: "t"}}
}

func TestBuildReportsItsPlanSavesItsStateAndFinishes(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	start(t, c.config(dir))
	c.order("b1", two, nil)
	r := c.succeed("b1")
	if len(r.GetResources()) != 2 || r.GetResources()[0].GetAddress() != "terraform_data.home" {
		t.Errorf("resources are %v", r.GetResources())
	}
	if n := len(c.planned["b1"].GetResources()); n != 2 {
		t.Errorf("%d resources were planned, want 2", n)
	}
	if got := resourcesIn(t, c.state("b1")); got != 2 {
		t.Errorf("state has %d resources, want 2", got)
	}
	c.awaitLog("b1", "said-by-local-exec")
	// Delete starts from that state and leaves an empty one.
	c.note(func() { c.states["b2"] = c.states["b1"] })
	c.order("b2", two, func(j *provisionerv1.Job) { j.GetBuild().Transition = provisionerv1.Transition_DELETE })
	c.succeed("b2")
	if got := resourcesIn(t, c.state("b2")); got != 0 {
		t.Errorf("state has %d resources after delete", got)
	}
	if c.heads["b2"].GetSerial() <= c.heads["b1"].GetSerial() || c.heads["b2"].GetLineage() != c.heads["b1"].GetLineage() {
		t.Errorf("state %v does not descend from %v", c.heads["b2"], c.heads["b1"])
	}
	noJobs(t, dir)
}

// noJobs waits until nothing is left of any job.
func noJobs(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "an empty directory", func() bool {
		left, err := os.ReadDir(filepath.Join(dir, "jobs"))
		return err == nil && len(left) == 0
	})
}

func resourcesIn(t *testing.T, state string) int {
	t.Helper()
	var s struct{ Resources []any }
	if err := json.Unmarshal([]byte(state), &s); err != nil {
		t.Fatalf("state %q: %v", state, err)
	}
	return len(s.Resources)
}

func TestImportTellsWhatATemplateAsksFor(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	c.order("i1", `
terraform {
  required_version = ">= 1.3"
}
variable "region" {
  type        = string
  description = "Where"
}
variable "sizes" {
  type    = list(number)
  default = [1, 2]
}
variable "key" {
  default   = "k"
  sensitive = true
}
resource "terraform_data" "x" { input = "${var.region}-${var.sizes[0]}" }
`, func(j *provisionerv1.Job) {
		anImport(j)
		j.Variables = map[string]string{"region": "fra", "sizes": "[7]"}
	})
	got := c.succeed("i1").GetTemplate()
	if got.GetRequiredVersion() != ">= 1.3" || len(got.GetResources()) != 1 || len(got.GetVariables()) != 3 {
		t.Fatalf("template is %v", got)
	}
	v := got.GetVariables()
	if v[0].GetName() != "key" || !v[0].GetSensitive() || v[0].GetDefault() != `"k"` ||
		v[1].GetName() != "region" || !v[1].GetRequired() || v[1].GetDescription() != "Where" ||
		v[2].GetType() != "list(number)" || v[2].GetDefault() != "[1,2]" {
		t.Errorf("variables are %v", v)
	}
	if c.state("i1") != "" {
		t.Error("an import saved a state")
	}
}

func TestProblemsSayFileAndLine(t *testing.T) {
	for _, tc := range []struct{ name, main, summary string }{
		{"syntax", "resource \"terraform_data\" \"x\" {\n  input = \n}\n", "Invalid expression"},
		{"reference", "resource \"terraform_data\" \"x\" {\n  input = var.none\n}\n", "Reference to undeclared input variable"},
		{"version", "terraform {\n  required_version = \">= 99\"\n}\n", `No Terraform fits the required version ">= 99"`},
		{"provider", "terraform {\n  required_providers {\n    x = {\n source = \"nobody/none\"\n }\n  }\n}\n", "Failed to query available provider packages"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCoordinator(t)
			cfg := c.config(t.TempDir())
			empty := t.TempDir()
			cfg.Terraform.Mirrors = []string{empty}
			start(t, cfg)
			c.order("i", tc.main, anImport)
			why := c.fail("i")
			p := c.result("i").GetProblems()
			if len(p) == 0 || p[0].GetSummary() != tc.summary || !strings.Contains(why, tc.summary) {
				t.Fatalf("problems are %v, error is %q", p, why)
			}
			if tc.name != "provider" && (p[0].GetFile() != "main.tf" || p[0].GetLine() != 2) {
				t.Errorf("problem is at %s:%d, want main.tf:2", p[0].GetFile(), p[0].GetLine())
			}
			c.order("next", two, nil)
			c.succeed("next")
		})
	}
}

func TestATemplatesOwnBackendKeepsNoState(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	c.order("b", "terraform {\n  backend \"http\" {\n    address = \"http://127.0.0.1:1/\"\n  }\n}\n"+two, nil)
	c.succeed("b")
	if got := resourcesIn(t, c.state("b")); got != 2 {
		t.Errorf("state has %d resources, want 2", got)
	}
}

func TestAFailedApplySavesWhatItMade(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	c.order("b", `
resource "terraform_data" "first" {}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "exit 3" }
}
`, nil)
	if why := c.fail("b"); !strings.Contains(why, "local-exec provisioner error") || !strings.Contains(why, "main.tf:5") {
		t.Errorf("error is %q", why)
	}
	if got := resourcesIn(t, c.state("b")); got != 2 { // the second is tainted
		t.Errorf("state has %d resources, want 2", got)
	}
}

func TestMissingTerraformFailsTheJobOnly(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Exec = filepath.Join(t.TempDir(), "terraform")
	start(t, cfg)
	c.order("b", two, nil)
	if why := c.fail("b"); !strings.Contains(why, "there is no Terraform") {
		t.Errorf("error is %q", why)
	}
	// Once it is there, it is used.
	if err := os.WriteFile(cfg.Terraform.Exec, []byte("#!/bin/sh\nexec terraform \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.order("b2", two, nil)
	c.succeed("b2")
}

// Who writes a template says in its lock file which versions it was tried with.
func TestATemplatesOwnLockFileCounts(t *testing.T) {
	mirror := t.TempDir()
	for _, version := range []string{"1.0.0", "2.0.0"} {
		standin.Pack(t, mirror, "example.com/one/adit", version, standin.Path(t))
	}
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Mirrors = []string{mirror}
	start(t, cfg)
	own := func(version string) map[string]string {
		return map[string]string{"main.tf": needsOne, ".terraform.lock.hcl": "provider \"example.com/one/adit\" {\n  version = \"" + version + "\"\n}\n"}
	}
	chosen := func(id string, files map[string]string, change func(*provisionerv1.Job)) string {
		t.Helper()
		c.orderFiles(id, files, change)
		r := c.succeed(id)
		for _, version := range []string{"1.0.0", "2.0.0"} {
			if strings.Contains(strings.Join(c.log(id), "\n"), "Installing example.com/one/adit v"+version) || strings.Contains(string(r.GetTemplate().GetLockFile()), `"`+version+`"`) {
				return version
			}
		}
		return ""
	}
	if got := chosen("none", map[string]string{"main.tf": needsOne}, anImport); got != "2.0.0" {
		t.Errorf("without a lock file it is %s", got)
	}
	if got := chosen("own", own("1.0.0"), anImport); got != "1.0.0" {
		t.Errorf("the template's own says 1.0.0, and it is %s", got)
	}
	lock := c.succeed("own").GetTemplate().GetLockFile()
	c.orderFiles("build", own("2.0.0"), func(j *provisionerv1.Job) { j.LockFile = lock })
	c.succeed("build")
	if log := strings.Join(c.log("build"), "\n"); strings.Contains(log, "2.0.0") {
		t.Errorf("what the import left does not count:\n%s", log)
	}
}

// What a version of a template no longer has is in the states of workspaces of the one
// before. An init for another workspace has not brought the providers of that.
func TestAStateBringsTheProvidersThatItsTemplateNoLongerHas(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Adit = standin.Path(t)
	start(t, cfg)
	c.order("before", `
terraform {
  required_providers {
    adit = { source = "registry.opentofu.org/adit/adit" }
  }
}
resource "adit_agent" "main" { name = "main" }
`, nil)
	c.succeed("before")
	c.order("import", two, anImport)
	lock := c.succeed("import").GetTemplate().GetLockFile()
	c.order("other", two, func(j *provisionerv1.Job) { j.LockFile = lock })
	c.succeed("other")
	c.note(func() { c.states["after"] = c.states["before"] })
	c.order("after", two, func(j *provisionerv1.Job) { j.LockFile = lock })
	c.succeed("after")
	if got := resourcesIn(t, c.state("after")); got != 2 {
		t.Errorf("state has %d resources, want those of the new version", got)
	}
}
