package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// Each level lets its holder do what is said of it, and no more.
func TestWhatEachLevelOfSharingLetsOthersDo(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	makeWorkspace(t, alice, "dev")
	tries := map[string]func() error{
		"read":   func() error { _, err := bob.Workspace(ctx, "alice", "dev"); return err },
		"rename": func() error { _, err := bob.RenameWorkspace(ctx, "alice", "dev", "dev"); return err },
		"share":  func() error { return bob.ShareWithUser(ctx, "alice", "dev", "bob", sdk.ShareAdmin) },
		"shares": func() error { _, err := bob.Shares(ctx, "alice", "dev"); return err },
		"port":   func() error { return bob.SetPortVisibility(ctx, "alice", "dev", "main", 80, sdk.VisiblePublic) },
		"delete": func() error { return bob.DeleteWorkspace(ctx, "alice", "dev") },
	}
	expect := func(level string, want map[string]int) {
		t.Helper()
		for name, try := range tries {
			if got := status(try()); got != want[name] {
				t.Errorf("level %q: %s is answered with %d, want %d", level, name, got, want[name])
			}
		}
	}
	expect("", map[string]int{"read": 404, "rename": 404, "share": 404, "shares": 404, "port": 404, "delete": 404})
	for level, rename := range map[string]int{sdk.ShareApps: 403, sdk.ShareConnect: 403, sdk.ShareAdmin: 0} {
		if err := alice.ShareWithUser(ctx, "me", "dev", "bob", level); err != nil {
			t.Fatal(err)
		}
		expect(level, map[string]int{"rename": rename, "share": 403, "shares": 403, "port": 403, "delete": 403})
		if err := tries["share"](); !strings.Contains(err.Error(), "shared with you at level "+level) {
			t.Errorf("level %q: the refusal says %v", level, err)
		}
		w, err := bob.Workspace(ctx, "alice", "dev")
		if err != nil || w.Shared != level {
			t.Errorf("bob sees %+v, %v, shared at %q", w, err, level)
		}
		list, err := bob.SharedWorkspaces(ctx)
		if err != nil || len(list) != 1 || list[0].Owner != "alice" || list[0].Shared != level {
			t.Errorf("shared with bob: %+v, %v", list, err)
		}
	}
	if list, err := bob.Workspaces(ctx, "me"); err != nil || len(list) != 0 {
		t.Errorf("bob's own: %+v, %v", list, err)
	}
	if list, err := alice.Shares(ctx, "me", "dev"); err != nil || len(list) != 1 || list[0].User != "bob" || list[0].By != "alice" {
		t.Errorf("shares: %+v, %v", list, err)
	}
	if err := alice.UnshareWithUser(ctx, "me", "dev", "bob"); err != nil {
		t.Fatal(err)
	}
	expect("taken back", map[string]int{"read": 404, "rename": 404, "share": 404, "shares": 404, "port": 404, "delete": 404})
	if err := alice.UnshareWithUser(ctx, "me", "dev", "bob"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("taken back twice: %v, want ErrNotFound", err)
	}
	if err := alice.ShareWithUser(ctx, "me", "dev", "carol", sdk.ShareApps); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("shared with nobody: %v, want 422", err)
	}
	if err := alice.ShareWithUser(ctx, "me", "dev", "bob", "everything"); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("shared at no level: %v, want 422", err)
	}
}

// Whoever is let in follows what becomes of the workspace.
func TestSharedWorkspacesAreWatched(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	made := makeWorkspace(t, alice, "dev")
	if err := alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareApps); err != nil {
		t.Fatal(err)
	}
	seen := make(chan sdk.Change, 10)
	watching := sdk.Watching{Topic: sdk.WatchWorkspaces, WorkspaceID: made.ID}
	done := make(chan error, 1)
	go func() {
		done <- bob.Watch(ctx, watching, func() error {
			_, err := alice.RenameWorkspace(ctx, "me", "dev", "dev2")
			return err
		}, func(c sdk.Change) error {
			seen <- c
			return sdk.ErrEnough
		})
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := <-seen; c.Workspace == nil || c.Workspace.Name != "dev2" {
		t.Errorf("bob saw %+v, want the new name", c)
	}
}

// A token does with what is shared, offered and counted what its scopes hold.
func TestScopesHoldForWhatIsOnesOwnToSee(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	made := makeWorkspace(t, alice, "dev")
	if err := alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareAdmin); err != nil {
		t.Fatal(err)
	}
	token, err := bob.CreateToken(ctx, sdk.CreateToken{Name: "narrow", Scopes: []string{"template:read"}})
	if err != nil {
		t.Fatal(err)
	}
	narrow := d.client(token.Text)
	for name, try := range map[string]func() error{
		"list shared": func() error { _, err := narrow.SharedWorkspaces(ctx); return err },
		"offers":      func() error { _, err := narrow.Offers(ctx); return err },
		"decline":     func() error { return narrow.DeclineOffer(ctx, made.ID) },
		"usage":       func() error { _, err := narrow.Usage(ctx, ""); return err },
	} {
		if got := status(try()); got != http.StatusForbidden {
			t.Errorf("%s is answered with %d, want 403", name, got)
		}
	}
	if _, err := narrow.Workspace(ctx, "alice", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("shared, and out of scope: %v, want ErrNotFound", err)
	}
}

// Who watches what is within their reach hears of what others share with them, by
// name and by group, of what becomes of it, and of its end; and of nothing else.
func TestAWatchTellsWhatOthersShare(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob := d.add(t, "alice", store.RoleOwner), d.add(t, "bob", store.RoleMember)
	makeWorkspace(t, alice, "dev")
	makeWorkspace(t, alice, "secret")
	if _, err := alice.CreateGroup(ctx, sdk.CreateGroup{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to string) error {
		_, err := alice.RenameWorkspace(ctx, "me", from, to)
		return err
	}
	steps := []struct {
		do   func() error
		want string
	}{
		{func() error {
			return errors.Join(rename("dev", "before"), alice.ShareWithUser(ctx, "me", "before", "bob", sdk.ShareConnect))
		}, "share created: before connect"},
		{func() error { return errors.Join(rename("secret", "hidden"), rename("before", "during")) }, "workspace changed: during connect"},
		{func() error { return alice.UnshareWithUser(ctx, "me", "during", "bob") }, "share deleted"},
		{func() error {
			return errors.Join(rename("during", "after"), alice.AddToGroup(ctx, "default", "team", "bob"))
		}, "membership created"},
		{func() error { return alice.ShareWithGroup(ctx, "me", "after", "team", sdk.ShareApps) }, "share created: after apps"},
		{func() error { return alice.DeleteWorkspace(ctx, "me", "after") }, "workspace deleted"},
		{func() error { return alice.RemoveFromGroup(ctx, "default", "team", "bob") }, "membership deleted"},
	}
	at := 0
	do := func() {
		if err := steps[at].do(); err != nil {
			t.Error(err)
		}
	}
	watchUntil(t, bob, sdk.Watching{Topic: sdk.WatchWorkspaces, Owner: sdk.OwnerReach}, do, func(c sdk.Change) bool {
		got := c.Kind + " " + c.Action
		if c.Workspace != nil {
			got += ": " + c.Workspace.Name + " " + c.Workspace.Shared
		}
		if got == "workspace changed: before connect" || c.Kind == sdk.KindAgent || got == "workspace changed: after apps" {
			return false // a share is a change of the workspace, too
		}
		if got != steps[at].want {
			t.Errorf("told %q, want %q", got, steps[at].want)
		}
		if at++; at == len(steps) {
			return true
		}
		do()
		return false
	})
}
