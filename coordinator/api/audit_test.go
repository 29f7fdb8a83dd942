package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func audit(t *testing.T, c *sdk.Client, f sdk.AuditFilter) []sdk.AuditEntry {
	t.Helper()
	p, err := c.Audit(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return p.Items
}

func TestTheAuditLogSaysWhoDidWhatFromWhere(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	w := external(t, alice, "dev")
	if _, err := alice.RenameWorkspace(t.Context(), "me", "dev", "devbox"); err != nil {
		t.Fatal(err)
	}
	if err := alice.DeleteWorkspace(t.Context(), "me", "devbox"); err != nil {
		t.Fatal(err)
	}
	got := audit(t, root, sdk.AuditFilter{Actor: "Alice", Action: "workspace"})
	slices.Reverse(got) // the oldest first
	if len(got) != 3 {
		t.Fatalf("%d entries: %+v", len(got), got)
	}
	me, err := alice.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ action, before, after string }{
		{"workspace.created", "", "dev"}, {"workspace.changed", "dev", "devbox"}, {"workspace.deleted", "devbox", "devbox"},
	} {
		e := got[i]
		before, _ := e.Before["name"].(string)
		after, _ := e.After["name"].(string)
		if e.Action != want.action || before != want.before || after != want.after || e.Outcome != "done" || e.ObjectID != w.ID {
			t.Errorf("entry %d: %+v, want %+v", i, e, want)
		}
		if a := e.Actor; a.Kind != "user" || a.ID != me.ID || a.Name != "alice" || a.Remote != "127.0.0.1" || a.TokenID == "" {
			t.Errorf("entry %d: actor %+v", i, a)
		}
	}
	// Pages are without gaps.
	var paged []sdk.AuditEntry
	for f := (sdk.AuditFilter{Limit: 2}); ; {
		p, err := root.Audit(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, p.Items...)
		if f.Cursor = p.NextCursor; f.Cursor == "" {
			break
		}
	}
	if all := audit(t, root, sdk.AuditFilter{}); len(paged) != len(all) || len(all) < 5 {
		t.Errorf("%d entries in pages, %d in one", len(paged), len(all))
	}
}

func TestTheAuditLogHasNoSecrets(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	if _, err := root.CreateToken(t.Context(), sdk.CreateToken{Name: "ci"}); err != nil {
		t.Fatal(err)
	}
	external(t, root, "dev")
	for _, e := range audit(t, root, sdk.AuditFilter{}) {
		for _, m := range []map[string]any{e.Before, e.After} {
			for k, v := range m {
				secret := strings.Contains(k, "hash") || strings.Contains(k, "secret")
				if text, _ := v.(string); secret && !strings.HasPrefix(text, "hidden") {
					t.Errorf("%s says %s: %v", e.Action, k, v)
				}
			}
		}
	}
}

func TestSignInsAndRefusalsAreInTheAuditLog(t *testing.T) {
	d := deploy(t)
	anybody := d.client("")
	first := sdk.FirstUser{Username: "root", Email: "root@example.com", Password: "correct horse"}
	if _, err := anybody.CreateFirstUser(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := anybody.Login(t.Context(), sdk.Login{Username: "root", Password: "wrong horse"}); status(err) != http.StatusUnauthorized {
		t.Fatal(err)
	}
	session, err := anybody.Login(t.Context(), sdk.Login{Username: "root", Password: first.Password})
	if err != nil {
		t.Fatal(err)
	}
	root, alice := d.client(session.Token), d.add(t, "alice", store.RoleMember)
	if _, err := alice.ProvisionerKeys(t.Context()); status(err) != http.StatusForbidden {
		t.Fatal(err)
	}
	var told []string
	for _, f := range []sdk.AuditFilter{{Action: "sign-in"}, {Outcome: "refused", Actor: "alice"}} {
		for _, e := range audit(t, root, f) {
			told = append(told, strings.Join([]string{e.Action, e.Outcome, e.Actor.Kind, e.Actor.Name, e.ObjectName}, " "))
		}
	}
	want := []string{"sign-in done user root root", "sign-in refused nobody  root", "list-provisioner-keys refused user alice "}
	if !slices.Equal(told, want) {
		t.Errorf("got  %q\nwant %q", told, want)
	}
	// Who may not read it is in it.
	if _, err := alice.Audit(t.Context(), sdk.AuditFilter{}); status(err) != http.StatusForbidden {
		t.Errorf("a member reads the audit log: %v", err)
	}
	if got := audit(t, root, sdk.AuditFilter{Action: "list-audit"}); len(got) != 1 || got[0].Actor.Name != "alice" {
		t.Errorf("the refusal: %+v", got)
	}
}
