package policy

import (
	"errors"
	"strings"
	"testing"
)

const shop = `tags:
  database: [alice/db, "template:postgres"]
rules:
  - from: ["*"]
    to: [me/*]
    ports: ["*"]
  - from: [group:web, carol]
    to: [alice/shop]
    ports: [icmp, tcp:22, tcp:8000-8499, tcp:8500-8999]
  - from: [dave]
    to: ["group:acme/ops/*"]
    ports: [icmp]
links:
  - from: [alice/shop, "group:web/*"]
    to: [tag:database]
    ports: [tcp:5432]
  - from: ["template:postgres"]
    to: [me/*]
    ports: [udp:53]
given:
  groups: {web: [bob], acme/ops: [erin]}
  templates: {postgres: [bob/pg]}
tests:
  - from: bob
    to: alice/shop
    allow: [icmp, tcp:22, tcp:8000-8999]
    deny: [tcp:5432, "udp:*"]
  - {from: alice, to: alice/db, allow: ["*"]}
  - {from: dave, to: alice/shop, deny: ["*"]}
  - {from: dave, to: erin/dev, allow: [icmp], deny: ["tcp:*", "udp:*"]}
  - {from: alice/shop, to: bob/pg, allow: [tcp:5432], deny: [tcp:22]}
  - {from: bob/anything, to: alice/db, allow: [tcp:5432]}
  - {from: bob/pg, to: bob/dev, allow: [udp:53]}
  - {from: bob/pg, to: alice/dev, deny: ["*"]}
`

func read(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func portsOf(list []Ports) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, " ")
}

func TestRulesAdmitAndNothingElseDoes(t *testing.T) {
	p := read(t, shop)
	if failed := p.Test(); len(failed) > 0 {
		t.Errorf("its tests: %v", failed)
	}
	for _, tt := range []struct {
		who              Person
		owner, workspace string
		want             string
	}{
		{Person{Name: "alice"}, "alice", "db", "icmp tcp:* udp:*"},
		{Person{Name: "Alice"}, "ALICE", "db", "icmp tcp:* udp:*"},
		{Person{Name: "bob", Groups: []string{"Web"}}, "alice", "Shop", "icmp tcp:22 tcp:8000-8999"},
		{Person{Name: "carol"}, "alice", "shop", "icmp tcp:22 tcp:8000-8999"},
		{Person{Name: "bob"}, "alice", "shop", ""},
		{Person{Name: "web"}, "alice", "shop", ""}, // a user who is called as a group is
		{Person{Name: "carol"}, "alice", "db", ""},
	} {
		to := Workspace{Owner: Person{Name: tt.owner}, Name: tt.workspace}
		if got := portsOf(p.Admits(tt.who, to)); got != tt.want {
			t.Errorf("%v to %v: %q, want %q", tt.who, to, got, tt.want)
		}
	}
}

func TestWithoutRulesNothingIsTakenAwayAndWithoutLinksNothingIsLinked(t *testing.T) {
	a, b := Workspace{Owner: Person{Name: "alice"}, Name: "a"}, Workspace{Owner: Person{Name: "bob"}, Name: "b"}
	for _, p := range []*Policy{nil, read(t, "links: []\n")} {
		if got := portsOf(p.Admits(Person{Name: "alice"}, b)); p.Narrows() || got != "icmp tcp:* udp:*" {
			t.Errorf("%v admits %q", p, got)
		}
		if got := portsOf(p.Links(a, b)); got != "" {
			t.Errorf("%v links %q", p, got)
		}
	}
	if p := read(t, "rules: []\n"); !p.Narrows() || len(p.Admits(Person{Name: "bob"}, b)) > 0 {
		t.Error("no rule admits something")
	}
	if p := read(t, "rules:\n- {from: ['*'], to: ['*/*'], ports: ['*']}\n"); len(p.Links(a, b)) > 0 {
		t.Error("a rule links workspaces")
	}
}

// A test that fails says at which line, and JSON is YAML, too.
func TestFailedTestsHaveTheirLines(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"tcp:8000-8499", "tcp:8000-8400", "line 26: the test fails: bob does not reach all of tcp:8000-8999 of alice/shop"},
		{"tcp:22, tcp:8000", "tcp:1-6000, tcp:8000", "line 27: the test fails: bob reaches tcp:5432 of alice/shop, or a part of it"},
		{"carol]", "dave]", "line 29: the test fails: dave reaches icmp of alice/shop, or a part of it\nline 29: the test fails: dave reaches tcp:* of alice/shop, or a part of it"},
		{"postgres: [bob/pg]", "postgres: []", "line 31: the test fails: alice/shop does not reach all of tcp:5432 of bob/pg\nline 33: the test fails: bob/pg does not reach all of udp:53 of bob/dev"},
	} {
		_, err := Read([]byte(strings.Replace(shop, tt.from, tt.to, 1)))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s → %s:\n%v\nwant\n%s", tt.from, tt.to, err, tt.want)
		}
	}
	_, err := Read([]byte(`{"rules": [],
"tests": [{"from": "bob", "to": "bob/dev",
"allow": ["tcp:22"]}]}`))
	if want := "line 3: the test fails: bob does not reach all of tcp:22 of bob/dev"; err == nil || err.Error() != want {
		t.Errorf("JSON: %v, want %q", err, want)
	}
}

func TestWhatIsWrongIsSaidWithItsLine(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "line 1: the file is empty"},
		{"rules: []\nrule: []\n", `line 2: the file has no field "rule"; those are tags, rules, links, relays`},
		{"rules: []\nrules: []\n", "line 2: rules is there twice"},
		{"[]\n", "line 1: the file must have the fields"},
		{"rules:\n  - from: [a]\n    to: [a/b]\n", "line 2: a rule needs ports"},
		{"rules:\n  - {from: a, to: [a/b], ports: [icmp]}\n", "line 2: from must be a list"},
		{"rules:\n  - {from: [a/b], to: [a/b], ports: [icmp]}\n", "line 2: \"a/b\" is a workspace, and rules are from people; links are"},
		{"rules:\n  - {from: [tag:a], to: [a/b], ports: [icmp]}\n", "are workspaces, and rules are from people"},
		{"rules:\n  - {from: [me], to: [a/b], ports: [icmp]}\n", "line 2: me is whoever asks"},
		{"rules:\n  - {from: [\"group:\"], to: [a/b], ports: [icmp]}\n", `line 2: "group:" names no group`},
		{"rules:\n  - from: [a]\n    to: [b]\n    ports: [icmp]\n", `line 3: "b" is not OWNER/WORKSPACE`},
		{"rules:\n  - from: [a]\n    to: [tag:b]\n    ports: [icmp]\n", `line 3: there is no tag "b"`},
		{"links:\n  - {from: [me/a], to: [a/b], ports: [icmp]}\n", "line 2: me is the owner of the workspace that a link is from"},
		{"tags:\n  a: [me/*]\n", "line 2: a tag's workspaces are the same for everybody"},
		{"tags:\n  a: [\"tag:b\"]\n", `line 2: "tag:b" is not OWNER/WORKSPACE`},
		{"rules:\n  - from: [a]\n    to: [a/b]\n    ports:\n      - tcp:22\n      - tcp:0\n", `line 6: "tcp:0": "0" is no port`},
		{"rules:\n  - {from: [a], to: [a/b], ports: [tcp:9-8]}\n", `line 2: "tcp:9-8" ends before it begins`},
		{"rules:\n  - {from: [a], to: [a/b], ports: [sctp:9]}\n", `line 2: "sctp:9": want "*", icmp`},
		{"rules:\n  - {from: [~], to: [a/b], ports: [icmp]}\n", "line 2: a word is wanted here"},
		{"rules:\n  - {from: [*], to: [a/b], ports: [icmp]}\n", "line 2: this is no YAML"},
		{"tests:\n  - {from: a, to: a/b}\n", "line 2: a test that expects nothing"},
		{"tests:\n  - {to: a/b, deny: [icmp]}\n", "line 2: a test needs from and to, or from and regions"},
		{"tests:\n  - {from: group:a, to: a/b, deny: [icmp]}\n", "a test is about one user, as bob"},
		{"tests:\n  - {from: a, to: a/*, deny: [icmp]}\n", "a test is about one workspace"},
		{"relays:\n  - {people: ['*']}\n", "line 2: an element of relays needs regions, and people or workspaces"},
		{"relays:\n  - {regions: [eu]}\n", "line 2: an element of relays needs regions, and people or workspaces"},
		{"relays:\n  - {people: ['*'], regions: []}\n", "line 2: regions must name one"},
		{"relays:\n  - people: ['*']\n    regions: [EU]\n", `line 3: "EU" is no region's code`},
		{"relays:\n  - {people: ['*'], regions: [--eu]}\n", `line 2: "--eu" is no region's code`},
		{"relays:\n  - {people: ['*'], regions: [eu, -eu]}\n", "line 2: eu is both to be reached in and to stay out of"},
		{"relays:\n  - {people: [me], regions: [eu]}\n", "line 2: me is whoever asks"},
		{"relays:\n  - {people: [a/b], regions: [eu]}\n", `line 2: "a/b" is a workspace`},
		{"relays:\n  - {workspaces: [me/*], regions: [eu]}\n", "line 2: me is nobody here"},
		{"relays:\n  - {workspaces: [tag:a], regions: [eu]}\n", `line 2: there is no tag "a"`},
		{"relays:\n  - {from: ['*'], regions: [eu]}\n", `line 2: an element of relays has no field "from"; those are people, workspaces, regions`},
		{"tests:\n  - {from: a, to: a/b, regions: [eu]}\n", "line 2: a test of regions needs from, and nothing else"},
		{"tests:\n  - {regions: [eu]}\n", "line 2: a test of regions needs from, and nothing else"},
		{"given: {people: {}}\n", `line 1: given has no field "people"`},
		{"rules:\n - [\n", "line "},
		{"rules: []\n---\nrules: []\n", "a second document"},
		{"rules: &r []\ntests: *r\n", "line 2: tests must be a list"},
		{strings.Repeat("#", MaxSize+1), "line 1: the file has"},
	} {
		_, err := Parse([]byte(tt.text))
		var problems Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80q: %v, want %s", tt.text, err, tt.want)
		}
	}
}

const inEurope = `tags:
  secret: [alice/db]
relays:
  - {workspaces: ["*/*"], regions: [-us]}
  - {workspaces: [tag:secret, "template:vault"], regions: [fra, eu]}
  - {people: ["*"], regions: [-us, -asia]}
  - {people: [group:web, carol], workspaces: ["group:web/*"], regions: [eu]}
given:
  groups: {web: [bob]}
  templates: {vault: [dave/v]}
tests:
  - {from: alice/dev, regions: [-us]}
  - {from: alice/db, regions: [eu, fra, -us]}
  - {from: dave/v, regions: [fra, eu, -us]}
  - {from: bob/dev, regions: [eu, -us]}
  - {from: alice, regions: [-us, -asia]}
  - {from: carol, regions: [-us, eu, -asia]}
`

// Where a node is to be reached is what all say together that mean it: people by their own
// nodes, workspaces by their agents'.
func TestAPolicySaysWhereNodesAreReached(t *testing.T) {
	p, err := Read([]byte(inEurope))
	if err != nil {
		t.Fatal(err)
	}
	db := Workspace{Owner: Person{Name: "Alice"}, Name: "DB"}
	for _, tt := range []struct {
		of   Node
		want string
	}{
		{Node{Person: Person{Name: "alice"}}, "[-asia, -us]"},
		{Node{Person: Person{Name: "bob", Groups: []string{"Web"}}}, "[eu, -asia, -us]"},
		{Node{Workspace: &db}, "[eu, fra, -us]"},
		{Node{}, "[]"}, // the coordinator's own
	} {
		if got := p.Regions(tt.of).String(); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.of, got, tt.want)
		}
	}
	if !p.Places() || p.Narrows() || p.Tests() != 6 {
		t.Errorf("places %v, narrows %v, %d tests", p.Places(), p.Narrows(), p.Tests())
	}
	var none *Policy
	if none.Places() || none.Regions(Node{Workspace: &db}).String() != "[]" {
		t.Error("no policy places nodes")
	}
	_, err = Read([]byte(strings.Replace(inEurope, "[-us, -asia]}\n  - {from: carol", "[us]}\n  - {from: carol", 1)))
	if want := "line 16: the test fails: the regions of alice are [-asia, -us], not [us]"; err == nil || err.Error() != want {
		t.Errorf("a test that fails: %v, want %s", err, want)
	}
}

// Whatever is read, it either is a policy or says what is wrong, at a line that there is.
func FuzzParse(f *testing.F) {
	f.Add(shop)
	f.Add(inEurope)
	f.Add(`{"links": [{"from": ["*/*"], "to": ["me/*"], "ports": ["tcp:*"]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		var problems Problems
		if (p == nil) == (err == nil) || err != nil && !errors.As(err, &problems) {
			t.Fatalf("%v and %v", p, err)
		}
		for _, one := range problems {
			if one.Line < 1 || one.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+2 || one.Text == "" {
				t.Fatalf("no such line: %v", one)
			}
		}
		if p == nil {
			return
		}
		p.Test()
		to := Workspace{Owner: Person{Name: "alice"}, Name: "dev"}
		for _, list := range [][]Ports{p.Admits(Person{Name: "bob"}, to), p.Links(to, to)} {
			for i, r := range list {
				if r.First > r.Last || i > 0 && list[i-1].meets(r) {
					t.Fatalf("%v", list)
				}
			}
		}
	})
}
