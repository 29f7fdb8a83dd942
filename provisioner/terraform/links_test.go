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
	got := b.plan(r, false).links
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
