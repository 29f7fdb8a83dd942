package policy

import (
	"cmp"
	"slices"
)

// Narrows reports whether the policy takes anything away from people.
func (p *Policy) Narrows() bool { return p != nil && p.narrows }

// Admits returns what somebody may send to a workspace, as far as the policy goes.
func (p *Policy) Admits(who Person, to Workspace) []Ports {
	if !p.Narrows() {
		return slices.Clone(everything)
	}
	var admitted []Ports
	for _, r := range p.rules {
		if hasOne(r.to, to, who) && slices.ContainsFunc(r.from, func(f people) bool { return f.has(who) }) {
			admitted = append(admitted, r.ports...)
		}
	}
	return merge(admitted)
}

// Links returns what a workspace may send to another.
func (p *Policy) Links(from, to Workspace) []Ports {
	if p == nil {
		return nil
	}
	var linked []Ports
	for _, l := range p.links {
		if hasOne(l.from, from, Person{}) && hasOne(l.to, to, from.Owner) {
			linked = append(linked, l.ports...)
		}
	}
	return merge(linked)
}

// merge sorts ranges and makes one of those that meet or follow each other.
func merge(list []Ports) []Ports {
	slices.SortFunc(list, func(a, b Ports) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First))
	})
	merged := list[:0]
	for _, p := range list {
		if n := len(merged); n > 0 && merged[n-1].Protocol == p.Protocol && int(p.First) <= int(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, p.Last)
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// Nothing returns a policy that admits nothing.
func Nothing() *Policy { return &Policy{narrows: true} }
