package provisioner

import (
	"slices"
	"strings"
	"testing"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

const tested = `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
variable "disk" {
  type    = number
  default = 10
}
resource "adit_agent" "main" { name = "main" }
resource "terraform_data" "disk" { input = var.disk }
`

const passing = `
run "plans" {
  command = plan
  assert {
    condition     = terraform_data.disk.input == 10
    error_message = "not ten"
  }
}
run "makes" {
  assert {
    condition     = adit_agent.main.id != "" && terraform_data.disk.output == 10
    error_message = "nothing was made"
  }
}
`

const failing = `
run "is_large" {
  command = plan

  assert {
    condition     = terraform_data.disk.input > 99
    error_message = "The disk is small."
  }
}
`

// A version that comes by a webhook is tested before anybody makes a workspace of it.
func TestAnImportRunsTheTestsOfATemplate(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Adit = standin.Path(t)
	start(t, cfg)
	withTests := func(j *provisionerv1.Job) { anImport(j); j.GetImport().Tests = true }

	c.orderFiles("passes", map[string]string{"main.tf": tested, "main.tftest.hcl": passing}, withTests)
	if r := c.succeed("passes"); len(r.GetTemplate().GetAgents()) != 1 {
		t.Errorf("a template that passes has agents %v", r.GetTemplate().GetAgents())
	}
	c.awaitLog("passes", `"makes"... pass`)
	if c.state("passes") != "" {
		t.Error("what the tests made is in a state")
	}

	c.orderFiles("fails", map[string]string{"main.tf": tested, "a.tftest.hcl": passing, "tests/disk.tftest.hcl": failing}, withTests)
	why := c.fail("fails")
	if !strings.Contains(why, "terraform test: tests/disk.tftest.hcl:6: Test assertion failed: The disk is small.") {
		t.Errorf("error is %q", why)
	}
	if !slices.ContainsFunc(c.log("fails"), func(line string) bool { return strings.Contains(line, `"makes"... pass`) }) {
		t.Errorf("what passed is not told: %q", c.log("fails"))
	}

	c.orderFiles("broken", map[string]string{"main.tf": tested, "a.tftest.hcl": "run \"x\" {\n"}, withTests)
	if why := c.fail("broken"); !strings.Contains(why, "a.tftest.hcl:") {
		t.Errorf("error of a test that cannot be read is %q", why)
	}

	// What is pushed by hand is tested by `adit templates test`, and not twice.
	c.orderFiles("untested", map[string]string{"main.tf": tested, "a.tftest.hcl": failing}, anImport)
	c.succeed("untested")

	// Without a test there is nothing to fail.
	c.orderFiles("none", map[string]string{"main.tf": tested}, withTests)
	c.succeed("none")
}
