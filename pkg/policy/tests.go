package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// given is what tests take for granted: who is in which group, and which workspaces were
// made of which template. What there really is changes, and makes no file a wrong one.
type given struct {
	groups    map[string][]string // those of a user, whose name is in lower case
	templates map[string][]string // those of OWNER/WORKSPACE
}

// test says what must come of a file for somebody, or for a workspace.
type test struct {
	who      Person
	from     *Workspace // that reaches the other; nil is the person
	to       Workspace
	expected []expectation
	placed   *placed // in place of those: a test of relays
}

// placed is where a test expects a node to be reached.
type placed struct {
	line    int
	regions Regions
}

// expectation is one line of a test.
type expectation struct {
	line  int
	ports Ports
	allow bool
}

func (r *reader) given(n *yaml.Node) given {
	g := given{make(map[string][]string), make(map[string][]string)}
	if n == nil {
		return g
	}
	fields := r.fields(n, "given", "groups", "templates")
	r.turn(fields["groups"], "groups", g.groups)
	r.turn(fields["templates"], "templates", g.templates)
	return g
}

// turn reads a mapping of names to lists, and notes for each element which lists it is in.
func (r *reader) turn(n *yaml.Node, what string, in map[string][]string) {
	for _, f := range r.pairs(n, what) {
		for _, one := range r.list(f.value, what+" of given") {
			name := strings.ToLower(r.text(one))
			in[name] = append(in[name], f.key.Value)
		}
	}
}

func (r *reader) test(n *yaml.Node) (one test, ok bool) {
	fields := r.fields(n, "a test", "from", "to", "allow", "deny", "regions")
	if fields == nil {
		return one, false
	}
	ofRelays := fields["regions"] != nil
	switch {
	case ofRelays && (fields["from"] == nil || fields["to"] != nil || fields["allow"] != nil || fields["deny"] != nil):
		r.problem(n, "a test of regions needs from, and nothing else")
		return one, false
	case !ofRelays && (fields["from"] == nil || fields["to"] == nil):
		r.problem(n, "a test needs from and to, or from and regions")
		return one, false
	}
	if from := r.text(fields["from"]); strings.Contains(from, "/") {
		w := r.one(fields["from"])
		one.from = &w
	} else if p, err := readPeople(from); err != nil || p.user == anything || p.group != "" {
		r.problem(fields["from"], "%.80q: a test is about one user, as bob, or one workspace, as bob/dev; given says who is in which group", from)
	} else {
		one.who = Person{Name: from}
	}
	if ofRelays {
		one.placed = &placed{fields["regions"].Line, r.regions(fields["regions"])}
		return one, true
	}
	one.to = r.one(fields["to"])
	for _, expect := range []string{"allow", "deny"} {
		for _, e := range r.list(fields[expect], expect) {
			ports, err := readPorts(r.text(e))
			if err != nil {
				r.problem(e, "%v", err)
			}
			for _, p := range ports {
				one.expected = append(one.expected, expectation{e.Line, p, expect == "allow"})
			}
		}
	}
	if len(one.expected) == 0 {
		r.problem(n, "a test that expects nothing; it needs allow or deny")
	}
	return one, true
}

// one reads the name of one workspace.
func (r *reader) one(n *yaml.Node) Workspace {
	text := r.text(n)
	w, err := readWorkspaces(text)
	if err != nil || w.owner.user == "" || w.owner.user == me || w.owner.user == anything || w.name == anything {
		r.problem(n, "%.80q: a test is about one workspace, as alice/dev; given says what its template is", text)
		return Workspace{}
	}
	return Workspace{Owner: Person{Name: w.owner.user}, Name: w.name}
}

func (g given) person(p Person) Person {
	p.Groups = g.groups[strings.ToLower(p.Name)]
	return p
}

func (g given) workspace(w Workspace) Workspace {
	w.Owner = g.person(w.Owner)
	w.Templates = g.templates[strings.ToLower(w.Owner.Name+"/"+w.Name)]
	return w
}

func (w Workspace) String() string { return w.Owner.Name + "/" + w.Name }

// Test runs the file's tests. The problems are those that failed, each with its line.
func (p *Policy) Test() Problems {
	var failed Problems
	for _, t := range p.tests {
		if t.placed != nil {
			failed = append(failed, p.testPlaced(t)...)
			continue
		}
		to, from := p.given.workspace(t.to), t.who.Name
		var admitted []Ports
		if t.from != nil {
			from = t.from.String()
			admitted = p.Links(p.given.workspace(*t.from), to)
		} else {
			admitted = p.Admits(p.given.person(t.who), to)
		}
		for _, e := range t.expected {
			switch {
			case e.allow && !slices.ContainsFunc(admitted, func(a Ports) bool { return a.contains(e.ports) }):
				failed = append(failed, problemf(e.line, "the test fails: %s does not reach all of %v of %v", from, e.ports, to))
			case !e.allow && slices.ContainsFunc(admitted, e.ports.meets):
				failed = append(failed, problemf(e.line, "the test fails: %s reaches %v of %v, or a part of it", from, e.ports, to))
			}
		}
	}
	return failed
}

// testPlaced runs a test of relays.
func (p *Policy) testPlaced(t test) Problems {
	of, name := Node{Person: p.given.person(t.who)}, t.who.Name
	if t.from != nil {
		w := p.given.workspace(*t.from)
		of, name = Node{Workspace: &w}, w.String()
	}
	if got := p.Regions(of); !got.Equal(t.placed.regions) {
		return Problems{problemf(t.placed.line, "the test fails: the regions of %s are %v, not %v", name, got, t.placed.regions)}
	}
	return nil
}

// Tests returns how many things the file's tests expect.
func (p *Policy) Tests() (n int) {
	for _, t := range p.tests {
		n += len(t.expected)
		if t.placed != nil {
			n++
		}
	}
	return n
}
