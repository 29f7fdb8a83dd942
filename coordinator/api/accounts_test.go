package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestUsersOfOneNameAtOnce(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	const n = 6
	results := make(chan error, n)
	for i := range n {
		go func(ctx context.Context) { // half of them clash by name, all by address
			_, err := root.CreateUser(ctx, sdk.CreateUser{Username: fmt.Sprint("bob", i%2), Email: "bob@example.com"})
			results <- err
		}(t.Context())
	}
	won := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "already"):
			t.Errorf("loser: %v, want a conflict that says so", err)
		}
	}
	if won != 1 {
		t.Errorf("%d were made, want 1", won)
	}
}

// Two owners who depose each other at once: one stays.
func TestAnOwnerIsLeft(t *testing.T) {
	d := deploy(t)
	a, b := d.add(t, "a", store.RoleOwner), d.add(t, "b", store.RoleOwner)
	member := "member"
	results := make(chan error, 2)
	for c, other := range map[*sdk.Client]string{a: "b", b: "a"} {
		go func(ctx context.Context) {
			_, err := c.ChangeUser(ctx, other, sdk.ChangeUser{Role: &member})
			results <- err
		}(t.Context())
	}
	for range 2 {
		if err := <-results; err != nil && status(err) != http.StatusConflict && status(err) != http.StatusNotFound && status(err) != http.StatusForbidden {
			t.Errorf("%v", err)
		}
	}
	owners := 0
	users, err := d.store.Users(t.Context(), store.UserQuery{Members: true, Administrators: true, Page: store.Page{Max: 99}})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.Role == store.RoleOwner {
			owners++
		}
	}
	if owners != 1 {
		t.Errorf("%d owners, want 1", owners)
	}
}

// Whoever makes somebody a workspace while they are deleted makes one for
// nobody, or they are not deleted: never both.
func TestNobodysWorkspaces(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	for i := range 8 {
		name := fmt.Sprint("u", i)
		c := d.add(t, name, store.RoleMember)
		made := make(chan error, 1)
		go func(ctx context.Context) {
			_, err := c.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
			made <- err
		}(t.Context())
		if err := root.DeleteUser(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		<-made // made first or refused, either is well
	}
	if left, err := d.store.Workspaces(t.Context(), store.WorkspaceQuery{Max: 10}); err != nil || len(left) != 0 {
		t.Errorf("nobody's: %+v, %v", left, err)
	}
}

func TestUsersWithWorkspacesOfTemplatesStay(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	push(t, root, d.provision(t), &provisionerv1.Template{})
	bob := d.add(t, "bob", store.RoleMember)
	if _, err := bob.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", Template: "process"}); err != nil {
		t.Fatal(err)
	}
	if err := root.DeleteUser(t.Context(), "bob"); !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "dev") {
		t.Errorf("%v, want a conflict that names dev", err)
	}
	if _, err := bob.Me(t.Context()); err != nil {
		t.Errorf("bob: %v", err)
	}
}

func TestBadInputAboutPeople(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	huge := strings.Repeat("x", 10<<20)
	for name, req := range map[string]sdk.CreateUser{
		"huge name":       {Username: huge, Email: "a@example.com"},
		"huge address":    {Username: "a", Email: huge + "@example.com"},
		"huge password":   {Username: "a", Email: "a@example.com", Password: huge},
		"header in name":  {Username: "a\r\nSet-Cookie: x=y", Email: "a@example.com"},
		"header in mail":  {Username: "a", Email: "a@example.com\r\nBcc: b@example.com"},
		"zero byte":       {Username: "a\x00", Email: "a@example.com"},
		"SQL":             {Username: "a'; drop table users; --", Email: "a@example.com"},
		"no such role":    {Username: "a", Email: "a@example.com", Role: "emperor"},
		"reserved name":   {Username: "first", Email: "a@example.com"},
		"no mail address": {Username: "a", Email: "a"},
	} {
		want := http.StatusUnprocessableEntity
		if strings.HasPrefix(name, "huge") {
			want = http.StatusRequestEntityTooLarge
		}
		_, err := root.CreateUser(t.Context(), req)
		if got := status(err); got != want && (got != 0 || err == nil || want == http.StatusUnprocessableEntity) { // it may hang up on a huge one
			t.Errorf("%s: %.200v, want %d", name, err, want)
		}
	}
	token := "Bearer " + root.Token()
	for name, path := range map[string]string{
		"zero byte": "/api/v1/users/a%00b", "no UTF-8": "/api/v1/users/%ff", "a line": "/api/v1/users/a%0d%0aX:%20y",
		"group": "/api/v1/organizations/default/groups/%00", "organization": "/api/v1/organizations/%00/members",
		"somebody's tokens": "/api/v1/tokens?user=%00",
	} {
		if resp, body := d.send(t, "GET", path, token, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s, want 404", name, resp.StatusCode, body)
		}
	}
	users, err := root.Users(t.Context())
	if err != nil || len(users) != 1 {
		t.Errorf("users: %+v, %v, want root alone", users, err)
	}
	for _, code := range []string{"x", uuid.NewString(), uuid.NewString() + "_x", "\x00", strings.Repeat("x", 200)} {
		if _, err := d.client("").LoginDeviceToken(t.Context(), code); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("device code %.20q: %v, want ErrNotFound", code, err)
		}
	}
}

func TestTokensLastNoLongerThanTheyMay(t *testing.T) {
	d := deploy(t, func(c *Config) { c.MaxTokenLifetime = time.Hour })
	alice := d.add(t, "alice", store.RoleMember)
	if _, err := alice.CreateToken(t.Context(), sdk.CreateToken{Name: "x", Lifetime: 3601}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("too long: %v, want 422", err)
	}
	for _, seconds := range []int64{0, 60, 3600} {
		made, err := alice.CreateToken(t.Context(), sdk.CreateToken{Name: "x", Lifetime: seconds})
		if err != nil || made.ExpiresAt == nil || time.Until(*made.ExpiresAt) > time.Hour {
			t.Errorf("%d s: %+v, %v", seconds, made, err)
		}
	}
}

// What organizations keep apart: templates of one are nothing to those in
// another, and whoever leaves one loses what is there.
func TestOrganizationsKeepApart(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	push(t, root, d.provision(t), &provisionerv1.Template{})
	bob := d.add(t, "bob", store.RoleMember)
	if list, err := bob.Templates(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("templates in bob's organization: %+v, %v", list, err)
	}
	makeWorkspace(t, bob, "dev")
	if err := root.RemoveMember(t.Context(), "default", "bob"); err != nil {
		t.Fatal(err)
	}
	if len(d.revoked.users) != 1 {
		t.Errorf("cut off %v, want bob", d.revoked.users)
	}
	if list, err := bob.Templates(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("templates elsewhere: %+v, %v", list, err)
	}
	if _, err := bob.Workspace(t.Context(), "me", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("his workspace there: %v, want ErrNotFound", err)
	}
	if _, err := bob.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "new", Template: "process"}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a workspace of a template elsewhere: %v, want 422", err)
	}
	if _, err := bob.Members(t.Context(), "default"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("its members: %v, want ErrNotFound", err)
	}
	if err := root.SetMember(t.Context(), "default", "bob", "member"); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Workspace(t.Context(), "me", "dev"); err != nil {
		t.Errorf("back again: %v", err)
	}
}
