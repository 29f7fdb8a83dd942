package auth

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// policyWorld has callers of every kind and role, and objects in every relation
// to them that a rule knows.
type policyWorld struct {
	home, elsewhere, me, somebody uuid.UUID
}

func newPolicyWorld() policyWorld {
	return policyWorld{home: uuid.New(), elsewhere: uuid.New(), me: uuid.New(), somebody: uuid.New()}
}

func (w policyWorld) people() map[string]Identity {
	people := map[string]Identity{
		"nobody":      {},
		"agent":       {Kind: Agent, UserID: w.me, AgentID: uuid.New(), Role: store.RoleOwner},
		"provisioner": {Kind: Provisioner, UserID: w.me, Role: store.RoleOwner},
		"relay":       {Kind: Relay, UserID: w.me, Role: store.RoleOwner},
	}
	for _, r := range store.Roles {
		people[string(r)] = Identity{Kind: User, UserID: w.me, Role: r, Organizations: map[uuid.UUID]store.Role{w.home: store.RoleMember}}
		if r != store.RoleMember {
			people["member, "+string(r)+" at home"] = Identity{
				Kind: User, UserID: w.me, Role: store.RoleMember, Organizations: map[uuid.UUID]store.Role{w.home: r},
			}
		}
	}
	return people
}

func (w policyWorld) things() map[string]Object {
	things := make(map[string]Object)
	for whose, owner := range map[string]uuid.UUID{"mine": w.me, "somebody's": w.somebody} {
		for where, organization := range map[string]uuid.UUID{"at home": w.home, "elsewhere": w.elsewhere, "nowhere": uuid.Nil} {
			things[whose+" "+where] = Object{Owner: owner, Organization: organization}
		}
	}
	for _, g := range []Grant{GrantApps, GrantConnect, GrantAdmin} {
		things["somebody's elsewhere, "+string(g)+" granted"] = Object{Owner: w.somebody, Organization: w.elsewhere, Grant: g}
	}
	return things
}

// The whole policy: for everybody and everything, each action on each resource
// is either in testdata/policy.txt or denied. A rule that changes shows there,
// for whoever reviews it.
func TestPolicyIsTheTable(t *testing.T) {
	w := newPolicyWorld()
	var lines []string
	for person, who := range w.people() {
		for thing, on := range w.things() {
			for _, on.Type = range Resources {
				if on.Grant != NoGrant && on.Type != Workspace {
					continue // the same as without: below
				}
				var may []string
				for _, a := range Actions {
					if Allowed(who, a, on) {
						may = append(may, string(a))
					}
				}
				if len(may) > 0 {
					lines = append(lines, fmt.Sprintf("%s | %s | %s: %s", person, thing, on.Type, strings.Join(may, " ")))
				}
			}
		}
	}
	slices.Sort(lines)
	raw, err := os.ReadFile("testdata/policy.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(raw)), "\n")
	for _, l := range lines {
		if !slices.Contains(want, l) {
			t.Errorf("allowed, but not in the table: %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(lines, l) {
			t.Errorf("in the table, but not allowed: %s", l)
		}
	}
}

// What nobody may ever do, whatever the table says.
func TestPolicyKeepsItsPromises(t *testing.T) {
	w := newPolicyWorld()
	for person, who := range w.people() {
		for thing, on := range w.things() {
			for _, on.Type = range Resources {
				for _, a := range Actions {
					if !Allowed(who, a, on) {
						continue
					}
					mine, granted := on.Owner == w.me, on
					granted.Grant = NoGrant
					switch {
					case on.Type != Workspace && !Allowed(who, a, granted):
						t.Errorf("%s may %s a %s, which cannot be shared (%s)", person, a, on.Type, thing)
					case who.Kind != User:
						t.Errorf("%s may %s %s (%s)", person, a, on.Type, thing)
					case on.Type == Workspace && (a == Connect || a == OpenApps || a == Operate) && !mine && on.Grant == NoGrant:
						t.Errorf("%s may %s a workspace that nobody shares with them (%s)", person, a, thing)
					case on.Type == AdminAccount && !mine && a != Read && a != List && who.Role != store.RoleOwner &&
						on.Organization == uuid.Nil: // accounts belong to none
						t.Errorf("%s may become an administrator: %s (%s)", person, a, thing)
					case on.Type == Audit && a != Read && a != List:
						t.Errorf("%s may %s the audit log", person, a)
					case on.Organization == w.elsewhere && who.Role == store.RoleMember && on.Grant == NoGrant:
						t.Errorf("%s may %s a %s of an organization that they are not in (%s)", person, a, on.Type, thing)
					}
				}
			}
		}
	}
}

func TestScopesOnlyNarrow(t *testing.T) {
	w := newPolicyWorld()
	for _, scopes := range []Scopes{{"workspace:read"}, {"workspace:*"}, {"*:read"}, {"*:*"}, {"template:use", "workspace:create"}} {
		if _, err := ParseScopes(scopes); err != nil {
			t.Errorf("%v: %v", scopes, err)
		}
		for person, who := range w.people() {
			for thing, on := range w.things() {
				for _, on.Type = range Resources {
					for _, a := range Actions {
						narrow := who
						narrow.Scopes = scopes
						want := Allowed(who, a, on) && scopes.cover(on.Type, a)
						if Allowed(narrow, a, on) != want {
							t.Errorf("%s with %v, %s %s (%s): want %v", person, scopes, a, on.Type, thing, want)
						}
					}
				}
			}
		}
	}
	for _, c := range []struct {
		scopes, other Scopes
		within        bool
	}{
		{Scopes{"workspace:read"}, Scopes{"workspace:*"}, true},
		{Scopes{"workspace:*"}, Scopes{"workspace:read"}, false},
		{Scopes{"workspace:read"}, nil, true},
		{nil, Scopes{"*:read"}, false},
		{nil, Scopes{"*:*"}, true},
		{Scopes{"workspace:read", "template:use"}, Scopes{"*:read", "template:*"}, true},
	} {
		if got := c.scopes.Within(c.other); got != c.within {
			t.Errorf("%v within %v: %v", c.scopes, c.other, got)
		}
	}
}

func FuzzParseScopes(f *testing.F) {
	f.Add("workspace:read")
	f.Add("*:*")
	// What is read covers something, and nothing else covers anything.
	f.Fuzz(func(t *testing.T, s string) {
		_, err := ParseScopes([]string{s})
		covers := slices.ContainsFunc(Resources, func(r Resource) bool {
			return slices.ContainsFunc(Actions, func(a Action) bool { return Scopes{s}.cover(r, a) })
		})
		if (err == nil) != covers {
			t.Errorf("%q: %v, covers something: %v", s, err, covers)
		}
	})
}

// An agent may do a little with its own workspace, and nothing with anything else,
// whoever its owner is.
func TestAnAgentMayStopAndSeeItsOwnWorkspace(t *testing.T) {
	me := uuid.New()
	who := Identity{Kind: Agent, UserID: me, AgentID: uuid.New(), Role: store.RoleOwner}
	for _, resource := range Resources {
		for _, a := range Actions {
			own := Object{Type: resource, Instance: true, Owner: me, Agent: who.AgentID}
			if got, want := Allowed(who, a, own), resource == Workspace && (a == Read || a == Operate); got != want {
				t.Errorf("%s of its own %s: %v", a, resource, got)
			}
			for name, on := range map[string]Object{
				"another agent's": {Type: resource, Instance: true, Owner: me, Agent: uuid.New()},
				"its owner's":     {Type: resource, Instance: true, Owner: me},
				"a shared":        {Type: resource, Instance: true, Grant: GrantAdmin},
			} {
				if Allowed(who, a, on) {
					t.Errorf("%s of %s %s is allowed", a, name, resource)
				}
			}
		}
	}
	nobody := Identity{Kind: Agent}
	if Allowed(nobody, Read, Object{Type: Workspace}) {
		t.Error("an agent without an id may read a workspace without one")
	}
	person := Identity{Kind: User, UserID: uuid.New()}
	if Allowed(person, Read, Object{Type: Workspace, Agent: person.AgentID}) {
		t.Error("a person is an agent")
	}
}
