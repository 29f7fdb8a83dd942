package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever becomes of workspaces, one's own and those of others, their names follow.
func TestNamesFollowWorkspaces(t *testing.T) {
	v := deployVPN(t)
	v.start()
	bob := []string{"--config-dir", filepath.Join(v.dir, "bob")}
	as := func(who []string, stdin string, args ...string) {
		t.Helper()
		cmd := v.command(v.laptop, append(args, who...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := v.output(v.laptop, cmd); err != nil {
			t.Fatalf("adit %v: %s %v", args, out, err)
		}
	}
	as(nil, "battery staple\n", "users", "create", "bob", "--email", "bob@example.com", "--password-stdin")
	as(bob, "battery staple\n", "login", v.url(), "--username", "bob", "--password-stdin")

	// A second, and what a busy machine takes to start dig.
	const within = 2 * time.Second
	follows := func(what, name string, is bool) {
		t.Helper()
		began := time.Now()
		for strings.Contains(v.must("dig", "+short", name+".adit", "AAAA"), ":") != is {
			if time.Since(began) > within {
				t.Fatalf("%s: %s has an address: %v, still after %v", what, name, !is, within)
			}
		}
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
	}
	alice := []string(nil)
	for _, step := range []struct {
		what, name string
		is         bool
		who        []string
		args       []string
	}{
		{"created", "api", true, alice, []string{"create", "api", "--external"}},
		{"renamed", "web", true, alice, []string{"rename", "api", "web"}},
		{"and the old name is gone", "api", false, nil, nil},
		{"deleted", "web", false, alice, []string{"delete", "web"}},
		{"another's is nobody's business", "lab.bob", false, bob, []string{"create", "lab", "--external"}},
		{"shared", "lab.bob", true, bob, []string{"share", "lab", "--user", "alice"}},
		{"another's renamed", "room.bob", true, bob, []string{"rename", "lab", "room"}},
		{"for its apps alone", "room.bob", false, bob, []string{"share", "room", "--user", "alice", "--level", "apps"}},
		{"shared again", "room.bob", true, bob, []string{"share", "room", "--user", "alice", "--level", "connect"}},
		{"shared no longer", "room.bob", false, bob, []string{"unshare", "room", "--user", "alice"}},
	} {
		if step.args != nil {
			as(step.who, "", step.args...)
		}
		follows(step.what, step.name, step.is)
	}
}
