package store

import (
	"errors"
	"testing"

	"github.com/google/uuid"
)

func TestGrantIsTheHighestAndForMembersOnly(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	person := func(name string) User {
		u, err := s.CreateUser(ctx, NewUser{Username: name, Email: name + "@example.com", PasswordHash: "x", Role: RoleMember})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	alice, bob := person("alice"), person("bob")
	w, err := s.CreateWorkspace(ctx, NewWorkspace{OwnerID: alice.ID, OwnerName: "alice", Name: "dev", External: true, AgentName: "main", AgentTokenHash: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	var group uuid.UUID
	if err := s.pool.QueryRow(ctx, "insert into groups (name) values ('Team') returning id").Scan(&group); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := s.pool.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when, want string) {
		t.Helper()
		if got, err := s.GrantOf(ctx, bob.ID, w.ID); err != nil || got != want {
			t.Errorf("%s: grant %q, %v, want %q", when, got, err, want)
		}
		list, levels, err := s.SharedWith(ctx, bob.ID, Page{Max: 9})
		if err != nil || (len(list) == 1) != (want != "") || levels[w.ID] != want {
			t.Errorf("%s: shared with bob: %v, %v, %v, want %q", when, list, levels, err, want)
		}
	}
	user, team := ShareWith{WorkspaceID: w.ID, Name: "BOB"}, ShareWith{WorkspaceID: w.ID, Name: "team", Group: true}
	share := func(with ShareWith, level string) {
		t.Helper()
		if err := s.Share(ctx, with, level, alice.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", "")
	share(user, "apps")
	expect("shared with bob", "apps")
	share(team, "admin")
	expect("and with a group that he is not in", "apps")
	exec("insert into group_members (group_id, user_id) values ($1, $2)", group, bob.ID)
	expect("and that he joins", "admin")
	share(team, "connect")
	expect("the group's is lowered", "connect")
	if err := s.Unshare(ctx, user, nil); err != nil {
		t.Fatal(err)
	}
	expect("his own is taken back", "connect")
	exec("delete from organization_members where user_id = $1", bob.ID)
	expect("he leaves the organization", "")
	if err := s.Share(ctx, user, "apps", alice.ID, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("shared with somebody outside: %v, want ErrNotFound", err)
	}
	exec("insert into organization_members (organization_id, user_id) values ($1, $2)", DefaultOrganization, bob.ID)
	expect("and returns", "connect")
	exec("delete from groups where id = $1", group)
	expect("the group is deleted", "")

	for name, with := range map[string]ShareWith{
		"the owner": {WorkspaceID: w.ID, Name: "alice"}, "nobody": {WorkspaceID: w.ID, Name: "carol"},
		"no group": {WorkspaceID: w.ID, Name: "team", Group: true}, "no workspace": {WorkspaceID: uuid.New(), Name: "bob"},
	} {
		if err := s.Share(ctx, with, "connect", alice.ID, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("shared with %s: %v, want ErrNotFound", name, err)
		}
		if err := s.Unshare(ctx, with, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("unshared with %s: %v, want ErrNotFound", name, err)
		}
	}
	share(user, "admin")
	if err := s.DeleteWorkspace(ctx, w.ID); err != nil {
		t.Fatal(err)
	}
	expect("the workspace is deleted", "")
}
