package terraform

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// Unique refuses a plan in which two agents, or two parameters, have one name. Where
// the second is written is among the problems.
func (r *Run) Unique(plan *Plan) error {
	before := len(r.problems)
	out := r.output("plan", func() {})
	out.twice("agent", "adit_agent", plan.After, plan.links, func(a *tfjson.StateResource) string { return agent(a).GetName() })
	out.twice("parameter", "adit_parameter", plan.Before, plan.links, func(p *tfjson.StateResource) string { return attributes(p.AttributeValues).text("name") })
	if found := r.problems[before:]; len(found) > 0 {
		return summary(found)
	}
	return nil
}

// twice tells of each resource of a type whose name one that is written before it has.
func (o *output) twice(what, kind string, in *tfjson.StateModule, l *links, name func(*tfjson.StateResource) string) {
	var all []*tfjson.StateResource
	for r := range everyResource(in) {
		if r.Type == kind {
			all = append(all, r)
		}
	}
	at := func(r *tfjson.StateResource) place { return l.places[plain(r.Address)] }
	slices.SortFunc(all, func(a, b *tfjson.StateResource) int {
		return cmp.Or(strings.Compare(at(a).file, at(b).file), at(a).line-at(b).line, strings.Compare(a.Address, b.Address))
	})
	first := make(map[string]string)
	for _, r := range all {
		other, known := first[name(r)]
		if !known {
			first[name(r)] = r.Address
			continue
		}
		d := &tfjson.Diagnostic{
			Severity: tfjson.DiagnosticSeverityError,
			Summary:  fmt.Sprintf("Two %ss are called %q", what, name(r)),
			Detail:   fmt.Sprintf("%s and %s: give each a name of its own.", other, r.Address),
		}
		if file := at(r).file; file != "" {
			d.Range = &tfjson.Range{Filename: file, Start: tfjson.Pos{Line: at(r).line}}
		}
		o.diagnose(d)
	}
}
