package api

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
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

// An auditor reads who tried what on which one, also where whoever tried was told that
// there is no such thing; and of what there is not, nothing.
func TestRefusalsNameWhatTheyWereAbout(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	helper, auditor := d.add(t, "helper", store.RoleUserAdmin), d.add(t, "vera", store.RoleAuditor)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shared, hidden := external(t, alice, "dev"), external(t, alice, "private")
	must(alice.ShareWithUser(ctx, "me", "dev", "bob", "connect"))
	me, err := root.Me(ctx)
	must(err)
	group, err := root.CreateGroup(ctx, sdk.CreateGroup{Name: "backend"})
	must(err)
	hook, err := root.CreateWebhook(ctx, sdk.CreateWebhook{Name: "chat", URL: "https://hooks.example.com/adit"})
	must(err)
	relay, err := root.CreateRelay(ctx, sdk.CreateRelay{Name: "fra", Region: "eu"})
	must(err)
	token, err := alice.CreateToken(ctx, sdk.CreateToken{Name: "laptop"})
	must(err)
	narrow, err := alice.CreateToken(ctx, sdk.CreateToken{Name: "ci", Scopes: []string{"workspace:read"}})
	must(err)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	template, err := root.Template(ctx, "process")
	must(err)

	for _, c := range []struct {
		who                  *sdk.Client
		method, path, body   string
		status               int
		operation, act       string
		objectID, objectName string
	}{
		{bob, "DELETE", "workspaces/alice/dev", "", 403, "delete-workspace", "workspace:delete", shared.ID, "dev"},
		{bob, "DELETE", "workspaces/alice/private", "", 404, "delete-workspace", "workspace:delete", hidden.ID, "private"},
		{bob, "GET", "workspaces/alice/private", "", 404, "get-workspace", "workspace:read", hidden.ID, "private"},
		{d.client(narrow.Text), "DELETE", "workspaces/me/private", "", 403, "delete-workspace", "workspace:delete", hidden.ID, "private"},
		{bob, "GET", "workspaces/alice/dev/state", "", 403, "pull-state", "state:read", shared.ID, "dev"},
		{helper, "DELETE", "users/root", "", 403, "delete-user", "admin-account:delete", me.ID, "root"},
		{helper, "PATCH", "users/root", `{"role":"member"}`, 403, "change-user", "admin-account:update", me.ID, "root"},
		{bob, "DELETE", "organizations/default/groups/backend", "", 403, "delete-group", "group:delete", group.ID, "backend"},
		{bob, "DELETE", "templates/process", "", 403, "delete-template", "template:delete", template.ID, "process"},
		{bob, "DELETE", "webhooks/chat", "", 403, "delete-webhook", "webhook:delete", hook.ID, "chat"},
		{bob, "DELETE", "relays/fra", "", 403, "delete-relay", "relay:delete", relay.ID, "fra"},
		{bob, "DELETE", "tokens/" + token.ID, "", 404, "revoke-token", "token:delete", token.ID, "laptop"},
		{bob, "DELETE", "quotas/users/root", "", 403, "delete-quota", "account:update", me.ID, "root"},
		{bob, "DELETE", "quotas/groups/backend", "", 403, "delete-quota", "group:update", group.ID, "backend"},
		{bob, "POST", "users", `{"username":"eve","email":"eve@example.com"}`, 403, "create-user", "account:create", "", ""},
		{bob, "DELETE", "relays/none", "", 403, "delete-relay", "relay:delete", "", ""},
		{bob, "DELETE", "workspaces/alice/none", "", 404, "", "", "", ""},
	} {
		before := len(audit(t, auditor, sdk.AuditFilter{Outcome: "refused"}))
		var in io.Reader
		if c.body != "" {
			in = strings.NewReader(c.body)
		}
		if resp, body := d.send(t, c.method, "/api/v1/"+c.path, "Bearer "+c.who.Token(), in); resp.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, resp.StatusCode, body, c.status)
		}
		list := audit(t, auditor, sdk.AuditFilter{Outcome: "refused"})
		if c.operation == "" {
			if len(list) != before {
				t.Errorf("%s %s: noted %+v", c.method, c.path, list[0])
			}
			continue
		}
		if len(list) != before+1 {
			t.Errorf("%s %s: %d entries more, want one", c.method, c.path, len(list)-before)
			continue
		}
		if e := list[0]; e.Action != c.operation || e.After["action"] != c.act || e.ObjectID != c.objectID || e.ObjectName != c.objectName {
			t.Errorf("%s %s: %s (%v) on %s %q, want %s (%s) on %s %q", c.method, c.path, e.Action, e.After["action"], e.ObjectID, e.ObjectName, c.operation, c.act, c.objectID, c.objectName)
		}
	}
}
