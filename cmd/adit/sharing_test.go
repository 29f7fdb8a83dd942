package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// What belongs to somebody else is named so that the reader can type it, wherever a
// command line names it.
func TestWhatOthersShareIsNamedByItsOwner(t *testing.T) {
	quiet(t)
	url := serve(t, "--provisioners", "0")
	alice, bob := commandLine{t, filepath.Join(t.TempDir(), "alice")}, commandLine{t, filepath.Join(t.TempDir(), "bob")}
	alice.succeeds("Signed in", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	alice.succeeds("bob", "battery staple\n", "users", "create", "bob", "--email", "bob@example.com", "--password-stdin")
	bob.succeeds("Signed in", "battery staple\n", "login", url, "--username", "bob", "--password-stdin")

	alice.succeeds("adit ssh dev", "", "create", "dev", "--external")
	bob.succeeds("Nobody shares", "", "list", "--shared")
	bob.fails(exitFailed, "no workspace alice/dev; 'adit list --shared'", "", "show", "alice/dev")
	bob.fails(exitFailed, "no workspace dev; 'adit list' shows yours", "", "show", "dev")
	alice.succeeds("bob", "", "share", "dev", "--user", "bob", "--level", "admin")
	alice.fails(exitUsage, "--level", "", "share", "dev", "--user", "bob", "--level", "root")
	alice.fails(exitFailed, "no other user eve", "", "share", "dev", "--user", "eve")
	bob.succeeds("alice/dev", "", "list", "--shared")
	bob.fails(exitFailed, "workspace alice/dev is external", "", "schedule", "alice/dev")
	bob.succeeds("Workspace alice/dev is called alice/devbox now", "", "rename", "alice/dev", "devbox")
	bob.fails(exitFailed, "no build of workspace alice/devbox is under way", "", "cancel", "alice/devbox")
	bob.fails(exitFailed, "level admin, which does not let you", "", "delete", "-y", "alice/devbox")
	alice.succeeds("Workspace devbox is called dev now", "", "rename", "devbox", "dev")

	bob.fails(exitFailed, "unshare workspace alice/dev with bob: the workspace is shared with you at level admin", "", "unshare", "alice/dev", "--user", "bob")
	alice.fails(exitFailed, "workspace dev is not shared with eve; 'adit shares dev'", "", "unshare", "dev", "--user", "eve")

	alice.succeeds("Workspace dev is offered to bob", "", "transfer", "offer", "dev", "--to", "bob")
	bob.succeeds("alice/dev", "", "transfer", "list")
	bob.fails(exitFailed, "no workspace alice/none is offered", "", "transfer", "accept", "alice/none")
	accepted := bob.succeeds("Workspace box is yours now", "", "transfer", "accept", "alice/dev", "--as", "box")
	if !strings.Contains(accepted, "adit agent --url") {
		t.Errorf("bob is told %q, want how to run its agent", accepted)
	}
	alice.fails(exitFailed, "no workspace dev", "", "show", "dev")
	bob.succeeds("shared with nobody", "", "shares", "box")
}

// Quotas, groups and keys are an organization's, and said to be.
func TestOrganizationsHaveQuotasAndKeysOfTheirOwn(t *testing.T) {
	quiet(t)
	url := serve(t, "--provisioners", "0")
	alice := commandLine{t, filepath.Join(t.TempDir(), "alice")}
	alice.succeeds("Signed in", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	alice.succeeds("research", "", "organizations", "create", "research")
	alice.succeeds("lab", "", "groups", "create", "lab", "--organization", "research")
	alice.succeeds("", "", "groups", "add", "lab", "alice", "--organization", "research")
	alice.succeeds("alice", "", "groups", "show", "lab", "--organization", "research")
	alice.succeeds("", "", "quotas", "set", "--group", "lab", "--organization", "research", "5")
	alice.succeeds("cost 0 of 5", "", "quotas", "--organization", "research")
	alice.succeeds("cost 0 of no limit", "", "quotas")
	alice.succeeds("research", "", "quotas", "list")
	alice.fails(exitFailed, "nobody of that name", "", "quotas", "set", "--group", "lab", "5")
	for _, o := range []string{"default", "research"} {
		alice.succeeds("adit_provisioner_", "", "provisioners", "keys", "create", "lab", "--organization", o)
	}
	alice.fails(exitFailed, "default/lab or research/lab", "", "provisioners", "keys", "delete", "lab")
	alice.succeeds("", "", "provisioners", "keys", "delete", "research/lab")
	alice.succeeds("", "", "provisioners", "keys", "delete", "lab")
}
