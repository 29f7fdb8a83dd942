package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxProblems is how many are told: who misread the format sees enough of it.
const maxProblems = 20

// reader walks a file's nodes and collects what is wrong.
type reader struct {
	problems Problems
	tags     map[string][]workspaces
}

func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, problemf(n.Line, format, args...))
	}
}

func (r *reader) file(n *yaml.Node, p *Policy) {
	fields := r.fields(n, "the file", "tags", "rules", "links", "relays", "given", "tests")
	if fields == nil {
		return
	}
	r.tags = make(map[string][]workspaces)
	for _, f := range r.pairs(fields["tags"], "tags") {
		name := r.text(f.key)
		if !isPath(name, 1) {
			r.problem(f.key, "%.80q is no tag's name", name)
		}
		r.tags[name] = r.tagged(f.value)
	}
	p.narrows = fields["rules"] != nil
	for _, one := range r.list(fields["rules"], "rules") {
		if fields := r.all(one, "a rule", "from", "to", "ports"); fields != nil {
			p.rules = append(p.rules, rule{r.people(fields["from"], "from"), r.workspaces(fields["to"], "to"), r.ports(fields["ports"], "ports")})
		}
	}
	for _, one := range r.list(fields["links"], "links") {
		if fields := r.all(one, "a link", "from", "to", "ports"); fields != nil {
			l := link{r.workspaces(fields["from"], "from"), r.workspaces(fields["to"], "to"), r.ports(fields["ports"], "ports")}
			if slices.ContainsFunc(l.from, func(w workspaces) bool { return w.owner.user == me }) {
				r.problem(fields["from"], `me is the owner of the workspace that a link is from; write "*/*" for all`)
			}
			p.links = append(p.links, l)
		}
	}
	for _, one := range r.list(fields["relays"], "relays") {
		if place, ok := r.placing(one); ok {
			p.placings = append(p.placings, place)
		}
	}
	p.given = r.given(fields["given"])
	for _, one := range r.list(fields["tests"], "tests") {
		if t, ok := r.test(one); ok {
			p.tests = append(p.tests, t)
		}
	}
}

func (r *reader) people(n *yaml.Node, what string) (list []people) {
	for _, one := range r.list(n, what) {
		p, err := readPeople(r.text(one))
		if err != nil {
			r.problem(one, "%v", err)
		}
		list = append(list, p)
	}
	return list
}

// workspaces reads a list that may name tags.
func (r *reader) workspaces(n *yaml.Node, what string) (list []workspaces) {
	for _, one := range r.list(n, what) {
		text := r.text(one)
		tag, isTag := strings.CutPrefix(text, tagPrefix)
		if !isTag {
			w, err := readWorkspaces(text)
			if err != nil {
				r.problem(one, "%v", err)
			}
			list = append(list, w)
			continue
		}
		tagged, ok := r.tags[tag]
		if !ok {
			r.problem(one, "there is no tag %.80q; the file's tags say which workspaces have it", tag)
		}
		list = append(list, workspaces{tag: tagged})
	}
	return list
}

// tagged reads the workspaces of a tag, which are the same whoever asks.
func (r *reader) tagged(n *yaml.Node) []workspaces {
	list := []workspaces{}
	for _, one := range r.list(n, "a tag's workspaces") {
		w, err := readWorkspaces(r.text(one))
		switch {
		case err != nil:
			r.problem(one, "%v", err)
		case w.owner.user == me:
			r.problem(one, "a tag's workspaces are the same for everybody; me is another for each")
		}
		list = append(list, w)
	}
	return list
}

func (r *reader) ports(n *yaml.Node, what string) (list []Ports) {
	for _, one := range r.list(n, what) {
		ports, err := readPorts(r.text(one))
		if err != nil {
			r.problem(one, "%v", err)
		}
		list = append(list, ports...)
	}
	return list
}

// all returns the fields of a mapping that has each of some.
func (r *reader) all(n *yaml.Node, what string, names ...string) map[string]*yaml.Node {
	fields := r.fields(n, what, names...)
	for _, name := range names {
		if fields != nil && fields[name] == nil {
			r.problem(n, "%s needs %s", what, name)
			return nil
		}
	}
	return fields
}

// fields returns what a mapping has, by name; nil if n is none.
func (r *reader) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		r.problem(n, "%s must have the fields %s", what, strings.Join(known, ", "))
		return nil
	}
	fields := make(map[string]*yaml.Node)
	for _, f := range r.pairs(n, what) {
		if name := f.key.Value; slices.Contains(known, name) {
			fields[name] = f.value
		} else {
			r.problem(f.key, "%s has no field %.40q; those are %s", what, name, strings.Join(known, ", "))
		}
	}
	return fields
}

type pair struct{ key, value *yaml.Node }

// pairs returns what a mapping has; nothing has none.
func (r *reader) pairs(n *yaml.Node, what string) (list []pair) {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.problem(n, "%s must be names with something for each", what)
		return nil
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			r.problem(key, "%.40s is there twice", key.Value)
			continue
		}
		seen[key.Value] = true
		list = append(list, pair{key, n.Content[i+1]})
	}
	return list
}

// list returns the elements of a list; those of nothing are none.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(n, "%s must be a list, as [a, b]", what)
		return nil
	}
	return n.Content
}

// text returns a scalar. Aliases, which could make a small file a large one, are none.
func (r *reader) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.problem(n, `a word is wanted here; one that begins with * is written "*"`)
		return ""
	}
	return n.Value
}
