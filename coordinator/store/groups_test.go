package store

import (
	"maps"
	"slices"
	"testing"
)

// Each provider gives and takes what its own word is worth, whatever another says
// of the same user, and nobody takes what people gave.
func TestEachProviderManagesItsOwnMembers(t *testing.T) {
	s := open(t)
	alice := addUser(t, s, "alice")
	all := map[string]Group{}
	for _, name := range []string{"backend", "frontend", "both", "chosen"} {
		g, err := s.CreateGroup(t.Context(), Organization{ID: DefaultOrganization, Name: "default"}, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = g
	}
	if err := s.AddGroupMember(t.Context(), all["chosen"].ID, alice.ID, nil); err != nil {
		t.Fatal(err)
	}
	in := func() map[string][]string {
		t.Helper()
		got := map[string][]string{}
		for name, g := range all {
			list, err := s.GroupMembers(t.Context(), g.ID, Page{Max: 9})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list {
				got[name] = m.Managers
			}
		}
		return got
	}
	for _, step := range []struct {
		provider string
		names    []string
		want     map[string][]string
	}{
		{"oidc", []string{"backend", "both", "chosen"}, map[string][]string{"backend": {"oidc"}, "both": {"oidc"}, "chosen": {}}},
		{"github", []string{"frontend", "both"}, map[string][]string{"backend": {"oidc"}, "frontend": {"github"}, "both": {"oidc", "github"}, "chosen": {}}},
		{"oidc", []string{"backend", "both"}, map[string][]string{"backend": {"oidc"}, "frontend": {"github"}, "both": {"oidc", "github"}, "chosen": {}}},
		{"oidc", nil, map[string][]string{"frontend": {"github"}, "both": {"github"}, "chosen": {}}},
		{"github", []string{"frontend"}, map[string][]string{"frontend": {"github"}, "chosen": {}}},
		{"github", nil, map[string][]string{"chosen": {}}},
	} {
		if err := s.SetManagedGroups(t.Context(), alice.ID, step.provider, step.names); err != nil {
			t.Fatal(err)
		}
		if got := in(); !maps.EqualFunc(got, step.want, slices.Equal) {
			t.Errorf("%s says %v: %v, want %v", step.provider, step.names, got, step.want)
		}
	}
	// From before it was noted which provider it was: the next to come decides.
	if _, err := s.pool.Exec(t.Context(), "insert into group_members (group_id, user_id, managers) values ($1, $3, '{\"\"}'), ($2, $3, '{\"\"}')",
		all["backend"].ID, all["frontend"].ID, alice.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.SetManagedGroups(t.Context(), alice.ID, "github", []string{"backend"}); err != nil {
		t.Fatal(err)
	}
	if got, want := in(), map[string][]string{"backend": {"github"}, "chosen": {}}; !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("of old: %v, want %v", got, want)
	}
}
