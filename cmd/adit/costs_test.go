package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

// What resources cost a day counts against the owner's quota before they are made.
func TestCostsCountBeforeAnythingIsMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made")
	d := deployWithTemplate(t, "dear", `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
data "adit_workspace" "me" {}
data "adit_parameter" "size" {
  name    = "size"
  type    = "number"
  default = "2"
  mutable = true
}
resource "terraform_data" "machine" {
  count = data.adit_workspace.me.start_count
  provisioner "local-exec" { command = "echo made >> '`+file+`'" }
}
resource "adit_metadata" "machine" {
  count       = data.adit_workspace.me.start_count
  resource_id = terraform_data.machine[0].id
  daily_cost  = tonumber(data.adit_parameter.size.value)
}
`)
	costs := func(name string, want int) {
		t.Helper()
		var w sdk.Workspace
		d.json(&w, "show", name, "-o", "json")
		if w.Cost != want {
			t.Errorf("workspace %s costs %d, want %d", name, w.Cost, want)
		}
	}
	d.must("templates", "edit", "dear", "--cost", "1")
	d.must("quotas", "set", "--user", "alice", "6")
	d.must("create", "one", "--template", "dear")
	costs("one", 3)
	const refused = "the quota is used up: workspaces may cost 6 together and cost 4, and this one costs 4; delete one, or ask for a larger quota"
	if _, err := d.adit("create", "two", "--template", "dear", "--parameter", "size=3"); err == nil || !strings.Contains(err.Error(), "of workspace two failed: "+strings.Replace(refused, "cost 4, and", "cost 3, and", 1)) {
		t.Errorf("beyond the quota: %v", err)
	}
	if made, err := os.ReadFile(file); err != nil || string(made) != "made\n" {
		t.Errorf("made is %q, %v", made, err)
	}
	costs("two", 1)
	// What would cost too much may cost less, and what is there goes on.
	d.must("start", "two", "--parameter", "size=2")
	costs("two", 3)
	if _, err := d.adit("start", "one", "--parameter", "size=3"); err == nil || !strings.Contains(err.Error(), "the quota is used up") {
		t.Errorf("beyond the quota: %v", err)
	}
	d.must("stop", "two")
	costs("two", 1)
	if out := d.must("quotas"); !strings.Contains(out, "cost 4 of 6") {
		t.Errorf("quotas say %q", out)
	}
	d.must("start", "one", "--parameter", "size=3")
	costs("one", 4)
	d.must("delete", "-y", "one")
	d.must("delete", "-y", "two")
	if out := d.must("quotas"); !strings.Contains(out, "cost 0 of 6") {
		t.Errorf("quotas say %q", out)
	}
}
