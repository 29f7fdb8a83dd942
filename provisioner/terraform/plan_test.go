package terraform

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// everything has each kind of what a plan is read for.
var everything = map[string]string{
	"main.tf": `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
variable "pets" { default = ["cat", "dog.with\"dots"] }
data "adit_workspace" "me" {}
data "adit_parameter" "size" {
  name    = "size"
  type    = "number"
  default = "3"
  option {
    name  = "Small"
    value = "3"
  }
  validation {
    min = 1
    max = 4.5
  }
}
resource "adit_agent" "main" {
  name                        = "main"
  env                         = { A = "1", B = data.adit_parameter.size.value }
  startup_script              = "echo ${terraform_data.kept.id}"
  startup_script_blocks_login = true
  startup_script_timeout      = 90
  metadata {
    key      = "disk"
    script   = "df"
    interval = 60
  }
  metadata {
    key      = "load"
    script   = "uptime"
    interval = 5
    timeout  = 2
  }
}
resource "adit_agent" "pets" {
  for_each = toset(var.pets)
  name     = each.key == "cat" ? "cat" : "dog"
}
resource "adit_app" "editor" {
  agent_id = adit_agent.main.id
  slug     = "editor"
  url      = "http://localhost:8080"
}
resource "adit_script" "hello" {
  for_each = adit_agent.pets
  agent_id = each.value.id
  name     = "hello"
  script   = "echo hello"
  timeout  = 7
}
resource "terraform_data" "kept" { input = { secret = sensitive("s"), list = [1, 2.5, null, true] } }
resource "terraform_data" "machine" {
  count            = data.adit_workspace.me.start_count
  input            = { token = adit_agent.main.token, extra = terraform_data.kept.output }
  triggers_replace = adit_agent.main.token
  lifecycle { create_before_destroy = true }
  provisioner "local-exec" { command = "echo ${adit_agent.pets["cat"].name}" }
}
resource "terraform_data" "overridden" { input = adit_agent.main.token }
resource "adit_metadata" "machine" {
  count       = data.adit_workspace.me.start_count
  resource_id = terraform_data.machine[0].id
  item {
    key   = "size"
    value = data.adit_parameter.size.value
  }
  item {
    key       = "token"
    value     = adit_agent.main.token
    sensitive = true
  }
}
module "inner" {
  source = "./inner"
  count  = data.adit_workspace.me.start_count
  token  = adit_agent.main.token
}
`,
	"a_override.tf": `
resource "terraform_data" "overridden" { input = "none" }
`,
	"more.tf.json": `{"resource": {"terraform_data": {"json": {
  "//": "a comment",
  "count": "${data.adit_workspace.me.transition == \"start\" ? 1 : 0}",
  "input": ["${adit_agent.main.id}"],
  "depends_on": ["terraform_data.kept"]
}}}}`,
	"inner/main.tf": `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
variable "token" {}
resource "adit_agent" "within" { name = "within" }
resource "terraform_data" "runs" { input = [var.token, adit_agent.within.token] }
module "deeper" {
  source = "../deeper"
  token  = adit_agent.within.token
}
`,
	"deeper/main.tf": `
variable "token" {}
resource "terraform_data" "leaf" {
  for_each   = { a = 1 }
  input      = "${var.token}${each.value}"
  depends_on = [terraform_data.root]
}
resource "terraform_data" "root" {}
`,
}

// Terraform itself is the oracle: what a plan file is read as is what Terraform
// shows of it, over the life of a workspace.
func TestPlanFilesAreReadAsTerraformShowsThem(t *testing.T) {
	b := newBench(t)
	for _, step := range []struct {
		name       string
		transition provisionerv1.Transition
		secret     string
		destroy    bool
	}{
		{"create", provisionerv1.Transition_START, "1", false},
		{"change nothing", provisionerv1.Transition_START, "1", false},
		{"replace", provisionerv1.Transition_START, "2", false},
		{"stop", provisionerv1.Transition_STOP, "3", false},
		{"delete", provisionerv1.Transition_DELETE, "4", true},
	} {
		b.files(everything)
		b.build.Transition, b.build.AgentSecret = step.transition, []byte(step.secret)
		r := b.run()
		read := b.plan(r, step.destroy)
		shown, err := r.showPlan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shown.links = read.links
		resources, agents := Planned(read)
		wantResources, wantAgents := Planned(shown)
		same(t, step.name+": resources", resources, wantResources, (*provisionerv1.Resource).GetAddress)
		same(t, step.name+": agents", agents, wantAgents, (*provisionerv1.Agent).GetName)
		same(t, step.name+": parameters", parameters(read), parameters(shown), (*provisionerv1.Parameter).GetName)
		if n := len(resources); (n == 0) != step.destroy {
			t.Errorf("%s: %d resources", step.name, n)
		}
		if err := r.Apply(t.Context(), "apply"); err != nil {
			t.Fatalf("%v\n%v", err, b.said)
		}
	}
}

func same[M proto.Message](t *testing.T, what string, got, want []M, name func(M) string) {
	t.Helper()
	order := func(a, b M) int { return cmp.Compare(name(a), name(b)) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.EqualFunc(got, want, func(a, b M) bool { return proto.Equal(a, b) }) {
		t.Errorf("%s are\n%v\nTerraform shows\n%v", what, got, want)
	}
}

// A later Terraform may write plans in another way.
func TestAPlanOfAnotherFormatIsShownByTerraform(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan")
	if err := os.WriteFile(plan, []byte("a plan of another kind"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPlan(plan); !errors.Is(err, errFormat) {
		t.Errorf("got %v", err)
	}
	if _, err := readChanges([]byte{8, planVersion + 1}); !errors.Is(err, errFormat) {
		t.Errorf("got %v", err)
	}
}

// FuzzReadChanges is for a plan file that a template's command has written over:
// whatever is in it is an error or a plan.
func FuzzReadChanges(f *testing.F) {
	f.Add([]byte{8, 3})
	// terraform_data.x, to be made, with values {"id": unknown, "input": [1]}.
	f.Add([]byte("\x08\x03\x1a)J\x15\x08\x01\x12\x11\x0a\x0f\x82\xa2id\xd4\x00\x00\xa5input\x91\x01j\x10terraform_data.x"))
	f.Add([]byte("\x08\x03\x1a\x06\x4a\x04\x12\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := readChanges(raw)
		if (m == nil) != (err != nil) {
			t.Fatalf("%v and %v", m, err)
		}
		if err != nil && !errors.Is(err, errFormat) {
			t.Errorf("%v does not lead to Terraform's own view", err)
		}
	})
}
