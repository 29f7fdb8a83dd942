package terraform

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-config-inspect/tfconfig"
	tfjson "github.com/hashicorp/terraform-json"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// inspect reads the root module without running anything. What is wrong with it
// is left for Terraform to say.
func inspect(dir string) *tfconfig.Module {
	module, _ := tfconfig.LoadModule(dir)
	return module
}

// Template tells what a template asks for: from its files, and from a plan of it.
func (r *Run) Template(plan *Plan) (*provisionerv1.Template, error) {
	lock, err := r.LockFile()
	if err != nil {
		return nil, err
	}
	resources, agents := Planned(plan)
	module := inspect(r.cfg.Dir)
	t := &provisionerv1.Template{
		Parameters: parameters(plan), Resources: resources, Agents: agents,
		RequiredVersion: strings.Join(module.RequiredCore, ", "), LockFile: lock,
		RequiredProviders: make(map[string]string), Impersonal: impersonal(r.cfg.Dir, filepath.Join(r.data, "modules")),
	}
	for name, p := range module.RequiredProviders {
		source := p.Source
		if source == "" {
			source = "hashicorp/" + name
		}
		if source != "hashicorp/terraform" { // built in
			t.RequiredProviders[source] = strings.Join(p.VersionConstraints, ", ")
		}
	}
	for _, v := range module.Variables {
		one := &provisionerv1.Variable{
			Name: v.Name, Type: v.Type, Description: v.Description, Required: v.Required, Sensitive: v.Sensitive,
		}
		if !v.Required {
			def, err := json.Marshal(v.Default)
			if err != nil {
				return nil, fmt.Errorf("terraform: default of variable %s: %w", v.Name, err)
			}
			one.Default = string(def)
		}
		t.Variables = append(t.Variables, one)
	}
	slices.SortFunc(t.Variables, func(a, b *provisionerv1.Variable) int { return strings.Compare(a.GetName(), b.GetName()) })
	return t, nil
}

// parameters are the data sources adit_parameter that a plan has read.
func parameters(plan *Plan) []*provisionerv1.Parameter {
	var all []*provisionerv1.Parameter
	for r := range everyResource(plan.Before) {
		if r.Mode == tfjson.DataResourceMode && r.Type == "adit_parameter" {
			all = append(all, parameter(r.AttributeValues))
		}
	}
	slices.SortFunc(all, func(a, b *provisionerv1.Parameter) int {
		if d := int(a.GetOrder()) - int(b.GetOrder()); d != 0 {
			return d
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	return all
}

func parameter(a attributes) *provisionerv1.Parameter {
	p := &provisionerv1.Parameter{
		Name: a.text("name"), DisplayName: a.text("display_name"), Description: a.text("description"),
		Type: a.text("type"), Default: a.text("default"), Required: a["default"] == nil,
		Mutable: a.yes("mutable"), Order: int32(a.number("order")),
	}
	for _, o := range a.blocks("option") {
		p.Options = append(p.Options, &provisionerv1.Option{
			Name: o.text("name"), Value: o.text("value"), Description: o.text("description"),
		})
	}
	for _, v := range a.blocks("validation") {
		p.Pattern, p.PatternError = v.text("regex"), v.text("error")
		if v["min"] != nil {
			p.Min = new(v.number("min"))
		}
		if v["max"] != nil {
			p.Max = new(v.number("max"))
		}
	}
	return p
}
