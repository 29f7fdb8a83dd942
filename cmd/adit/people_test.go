package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

// quiet keeps this machine's own settings out of a test.
func quiet(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ADIT_URL", "ADIT_TOKEN", "ADIT_LISTEN", "ADIT_DATA_DIR", "ADIT_POSTGRES_URL", "DISPLAY", "WAYLAND_DISPLAY"} {
		t.Setenv(name, "")
	}
}

func TestPeople(t *testing.T) {
	quiet(t)
	url := serve(t)
	alice := commandLine{t, filepath.Join(t.TempDir(), "alice")}
	bob := commandLine{t, filepath.Join(t.TempDir(), "bob")}
	alice.succeeds("Signed in", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")

	// An account, from its making to its end.
	alice.fails(exitUsage, "--email", "", "users", "create", "bob")
	alice.fails(exitFailed, "taken by adit", "", "users", "create", "me", "--email", "me@example.com")
	alice.succeeds("bob@example.com", "battery staple\n", "users", "create", "bob", "--email", "bob@example.com", "--password-stdin")
	alice.fails(exitFailed, "already", "", "users", "create", "bob", "--email", "robert@example.com")
	alice.fails(exitFailed, "already", "", "users", "create", "robert", "--email", "BOB@example.com")
	bob.succeeds("Signed in", "battery staple\n", "login", url, "--username", "bob", "--password-stdin")
	bob.succeeds("bob", "", "users", "show", "me")
	bob.fails(exitFailed, "no user alice", "", "users", "show", "alice")
	bob.fails(exitFailed, "only owners and user admins", "", "users", "create", "eve", "--email", "eve@example.com")
	bob.fails(exitFailed, "may do that", "", "users", "role", "bob", "owner")
	alice.succeeds("user-admin", "", "users", "role", "bob", "user-admin")
	bob.succeeds("eve", "", "users", "create", "eve", "--email", "eve@example.com")
	bob.fails(exitFailed, "only owners", "", "users", "create", "mallory", "--email", "m@example.com", "--role", "owner")
	bob.fails(exitFailed, "only owners", "", "users", "role", "eve", "template-admin")
	bob.fails(exitFailed, "only owners", "", "users", "suspend", "alice")
	alice.fails(exitFailed, "no owner left", "", "users", "role", "alice", "member")
	alice.fails(exitFailed, "no owner left", "", "users", "delete", "alice")
	alice.fails(exitFailed, "role", "", "users", "role", "bob", "emperor")

	// Passwords.
	bob.fails(exitFailed, "old password is wrong", "incorrect\nbattery stable\n", "users", "password", "--password-stdin")
	bob.succeeds("", "battery staple\nbattery stable\n", "users", "password", "--password-stdin")
	bob.fails(exitFailed, "wrong user name", "battery staple\n", "login", url, "--username", "bob", "--password-stdin")
	bob.succeeds("bob", "", "users", "show", "me") // this session lives on
	alice.succeeds("", "chosen by alice\n", "users", "password", "bob", "--password-stdin")
	bob.fails(exitFailed, "adit login URL", "", "users", "show", "me")
	bob.succeeds("Signed in", "chosen by alice\n", "login", url, "--username", "bob", "--password-stdin")

	// Tokens with scopes.
	token := strings.TrimSpace(bob.succeeds("adit_", "", "tokens", "create", "ci", "--scope", "workspace:read"))
	scoped := commandLine{t, t.TempDir()}
	with := func(args ...string) []string { return append(args, "--url", url, "--token", token) }
	scoped.succeeds("No workspaces", "", with("list")...)
	scoped.fails(exitFailed, "scopes do not hold workspace:create", "", with("create", "dev", "--external")...)
	scoped.fails(exitFailed, "scopes", "", with("tokens", "create", "wider")...)
	bob.fails(exitFailed, "RESOURCE:ACTION", "", "tokens", "create", "x", "--scope", "everything")
	alice.succeeds("ci", "", "tokens", "list", "--user", "bob")

	// Groups and organizations.
	alice.succeeds("research", "", "organizations", "create", "research")
	alice.fails(exitFailed, "already", "", "organizations", "create", "research")
	alice.succeeds("backend", "", "groups", "create", "backend")
	alice.succeeds("", "", "groups", "add", "backend", "bob")
	alice.succeeds("bob", "", "groups", "show", "backend")
	alice.succeeds("lab", "", "groups", "create", "lab", "--organization", "research")
	alice.fails(exitFailed, "no such user", "", "groups", "add", "lab", "eve", "--organization", "research")
	alice.succeeds("", "", "organizations", "members", "set", "research", "eve")
	alice.succeeds("", "", "groups", "add", "lab", "eve", "--organization", "research")
	alice.succeeds("eve", "", "organizations", "members", "list", "research")
	alice.fails(exitFailed, "1 groups", "", "organizations", "delete", "research")
	alice.succeeds("", "", "groups", "delete", "lab", "--organization", "research")
	alice.succeeds("", "", "organizations", "rename", "research", "science")
	alice.succeeds("", "", "organizations", "delete", "science")
	alice.fails(exitFailed, "default one", "", "organizations", "delete", "default")

	// Keeping out, and the end.
	bob.succeeds("", "", "create", "dev", "--external")
	alice.succeeds("suspended", "", "users", "suspend", "bob")
	bob.fails(exitFailed, "adit login URL", "", "list")
	bob.fails(exitFailed, "suspended", "chosen by alice\n", "login", url, "--username", "bob", "--password-stdin")
	alice.succeeds("active", "", "users", "activate", "bob")
	bob.succeeds("dev", "", "list")
	alice.succeeds("", "", "users", "delete", "bob")
	bob.fails(exitFailed, "adit login URL", "", "list")
	alice.fails(exitFailed, "no user bob", "", "users", "show", "bob")
	var left []sdk.Workspace
	if err := json.Unmarshal([]byte(alice.succeeds("", "", "list", "--all", "-o", "json")), &left); err != nil || len(left) != 0 {
		t.Errorf("workspaces left: %+v, %v", left, err)
	}
	alice.succeeds("bob", "", "users", "create", "bob", "--email", "bob@example.com") // the name is free
	var users []sdk.User
	if err := json.Unmarshal([]byte(alice.succeeds("", "", "users", "list", "-o", "json")), &users); err != nil || len(users) != 3 {
		t.Errorf("users: %+v, %v, want alice, bob and eve", users, err)
	}
}
