package policy

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxCode bounds the code of a region, in bytes, as relays do.
const maxCode = 32

// Node is what relays carry for: somebody's own, or with a Workspace one of its agents.
type Node struct {
	Person    Person
	Workspace *Workspace
}

// Regions are codes of regions of relays.
type Regions struct {
	// Pinned are those to be reached in, while one of them is there, and Excluded those
	// not to be reached in at all. Both are sorted.
	Pinned, Excluded []string
}

// String writes them as a file has them.
func (r Regions) String() string {
	all := slices.Clone(r.Pinned)
	for _, code := range r.Excluded {
		all = append(all, "-"+code)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// Equal reports whether they are the same.
func (r Regions) Equal(other Regions) bool {
	return slices.Equal(r.Pinned, other.Pinned) && slices.Equal(r.Excluded, other.Excluded)
}

// placing says in which regions some nodes are to be reached.
type placing struct {
	people     []people
	workspaces []workspaces
	regions    Regions
}

// Places reports whether the policy says anything of where nodes are reached.
func (p *Policy) Places() bool { return p != nil && len(p.placings) > 0 }

// Regions returns where a node is to be reached: what all say together that mean it.
func (p *Policy) Regions(of Node) (r Regions) {
	if p == nil {
		return r
	}
	for _, one := range p.placings {
		if one.means(of) {
			r.Pinned = append(r.Pinned, one.regions.Pinned...)
			r.Excluded = append(r.Excluded, one.regions.Excluded...)
		}
	}
	r.tidy()
	return r
}

func (p placing) means(n Node) bool {
	if n.Workspace != nil {
		return hasOne(p.workspaces, *n.Workspace, Person{})
	}
	return n.Person.Name != "" && slices.ContainsFunc(p.people, func(f people) bool { return f.has(n.Person) })
}

func (r *Regions) tidy() {
	for _, list := range []*[]string{&r.Pinned, &r.Excluded} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

func (r *reader) placing(n *yaml.Node) (p placing, ok bool) {
	fields := r.fields(n, "an element of relays", "people", "workspaces", "regions")
	if fields == nil {
		return p, false
	}
	if fields["regions"] == nil || fields["people"] == nil && fields["workspaces"] == nil {
		r.problem(n, "an element of relays needs regions, and people or workspaces")
		return p, false
	}
	p.people = r.people(fields["people"], "people")
	p.workspaces = r.workspaces(fields["workspaces"], "workspaces")
	if slices.ContainsFunc(p.workspaces, func(w workspaces) bool { return w.owner.user == me }) {
		r.problem(fields["workspaces"], `me is nobody here; write "*/*" for all workspaces`)
	}
	p.regions = r.regions(fields["regions"])
	if len(p.regions.Pinned)+len(p.regions.Excluded) == 0 {
		r.problem(fields["regions"], "regions must name one, as eu, or as -us one to stay out of")
	}
	return p, true
}

var regionCode = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// regions reads codes, of which those behind a "-" are excluded.
func (r *reader) regions(n *yaml.Node) (list Regions) {
	for _, one := range r.list(n, "regions") {
		text := r.text(one)
		code, excluded := strings.CutPrefix(text, "-")
		switch {
		case len(code) > maxCode || !regionCode.MatchString(code):
			r.problem(one, "%.40q is no region's code; want one as eu, or -us to stay out of it", text)
		case excluded:
			list.Excluded = append(list.Excluded, code)
		default:
			list.Pinned = append(list.Pinned, code)
		}
		if slices.Contains(list.Pinned, code) && slices.Contains(list.Excluded, code) {
			r.problem(one, "%s is both to be reached in and to stay out of", code)
		}
	}
	list.tidy()
	return list
}
