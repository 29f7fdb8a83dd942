package terraform

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

// Terraform is the oracle again: the configuration that it shows with a plan.
func TestConfigurationsAreReadAsTerraformShowsThem(t *testing.T) {
	b := newBench(t)
	b.files(everything)
	r := b.run()
	b.plan(r, false)
	asWritten := func(s *scope, name string) []reference { return []reference{{s.prefix, name}} } // as it is shown
	got := linksOf(configuration{root: b.dir, modules: readModules(r.data)}, asWritten)
	var raw strings.Builder
	if err := r.command(t.Context(), &raw, "show", "-json", planFile); err != nil {
		t.Fatal(err)
	}
	var shown tfjson.Plan
	if err := json.Unmarshal([]byte(raw.String()), &shown); err != nil {
		t.Fatal(err)
	}
	want := &links{refers: make(map[string][]string), ephemeral: make(map[string]bool)}
	want.shown("", shown.Config.RootModule, false)
	if !maps.Equal(got.ephemeral, want.ephemeral) {
		t.Errorf("ephemeral are\n%v\nTerraform shows\n%v", got.ephemeral, want.ephemeral)
	}
	if !maps.EqualFunc(got.refers, want.refers, slices.Equal) {
		t.Errorf("references are\n%v\nTerraform shows\n%v", got.refers, want.refers)
	}
	if n := len(got.refers["module.inner.module.deeper.terraform_data.leaf"]); n < 2 {
		t.Errorf("%d references of a module within a module", n)
	}
	if !got.ephemeral["module.inner.module.deeper.terraform_data.root"] || got.ephemeral["terraform_data.kept"] {
		t.Errorf("ephemeral are %v", got.ephemeral)
	}
}

// Terraform does not show what a dynamic block refers to.
func TestDynamicBlocksAreLookedInto(t *testing.T) {
	b := newBench(t)
	b.files(map[string]string{"main.tf": `
resource "adit_metadata" "m" {
  dynamic "item" {
    for_each = terraform_data.names
    content {
      value = adit_agent.main.token
    }
  }
}
`})
	refs := readLinks(b.dir, filepath.Join(b.dir, "none")).refers["adit_metadata.m"]
	if !slices.Equal(refs, []string{"adit_agent.main", "terraform_data.names"}) {
		t.Errorf("references are %v", refs)
	}
}

// A template may compute once what all its resources share.
func TestWhatCountsStartsIsFoundWhereverItIsWritten(t *testing.T) {
	b := newBench(t)
	b.files(map[string]string{"main.tf": `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
data "adit_workspace" "me" {}
locals {
  up    = data.adit_workspace.me.start_count == 1
  count = local.up ? 1 : 0
  token = one(adit_agent.main[*].token)
}
resource "adit_agent" "main" {
  count = local.count
  name  = "main"
}
resource "terraform_data" "by_local" {
  count = local.count
  input = local.token
}
resource "terraform_data" "kept" { input = "disk" }
module "vm" {
  source  = "./vm"
  running = local.up
  token   = local.token
}
resource "terraform_data" "by_output" {
  for_each = toset(module.vm.hosts)
}
`, "vm/main.tf": `
variable "running" {}
variable "token" {}
resource "terraform_data" "vm" {
  count = var.running ? 1 : 0
  input = var.token
}
resource "terraform_data" "disk" {}
output "hosts" { value = var.running ? ["a"] : [] }
`})
	r := b.run()
	l := b.plan(r, false).links
	for address, want := range map[string]bool{
		"adit_agent.main": true, "terraform_data.by_local": true, "terraform_data.kept": false, "terraform_data.by_output": true,
		"module.vm.terraform_data.vm": true, "module.vm.terraform_data.disk": false,
	} {
		if l.ephemeral[address] != want {
			t.Errorf("ephemeral of %s is %v", address, !want)
		}
	}
	for _, address := range []string{"terraform_data.by_local", "module.vm.terraform_data.vm"} {
		if refs := l.refers[address]; !slices.Equal(refs, []string{"adit_agent.main"}) {
			t.Errorf("references of %s are %v", address, refs)
		}
	}
}

// Terraform says what is wrong with it; that has to be waited for.
func TestLocalsThatGoInCirclesAreLeft(t *testing.T) {
	b := newBench(t)
	b.files(map[string]string{"main.tf": `
locals {
  a = local.b
  b = local.a
}
resource "terraform_data" "x" { input = local.a }
`})
	if refs := readLinks(b.dir, filepath.Join(b.dir, "none")).refers["terraform_data.x"]; len(refs) != 0 {
		t.Errorf("references are %v", refs)
	}
}

// shown adds what a module that Terraform shows says.
func (l *links) shown(prefix string, m *tfjson.ConfigModule, ephemeral bool) {
	if m == nil {
		return
	}
	for _, r := range m.Resources {
		if r.Mode != tfjson.ManagedResourceMode {
			continue
		}
		address := prefix + r.Address
		l.ephemeral[address] = ephemeral || countsStartsIn(r.CountExpression) || countsStartsIn(r.ForEachExpression)
		for _, ref := range append(references(r.Expressions), r.DependsOn...) {
			l.refers[address] = append(l.refers[address], prefix+resourceOf(ref))
		}
		slices.Sort(l.refers[address])
		l.refers[address] = slices.Compact(l.refers[address])
	}
	for name, call := range m.ModuleCalls {
		inner := prefix + "module." + name + "."
		l.shown(inner, call.Module, ephemeral || countsStartsIn(call.CountExpression) || countsStartsIn(call.ForEachExpression))
	}
}

func countsStartsIn(e *tfjson.Expression) bool {
	if e == nil || e.ExpressionData == nil {
		return false
	}
	return slices.ContainsFunc(e.References, func(ref string) bool {
		return strings.HasPrefix(ref, "data.adit_workspace.") &&
			(strings.HasSuffix(ref, ".start_count") || strings.HasSuffix(ref, ".transition"))
	})
}

// references are what expressions and those in blocks refer to.
func references(expressions map[string]*tfjson.Expression) []string {
	var all []string
	for _, e := range expressions {
		if e == nil || e.ExpressionData == nil {
			continue
		}
		all = append(all, e.References...)
		for _, block := range e.NestedBlocks {
			all = append(all, references(block)...)
		}
	}
	return all
}
