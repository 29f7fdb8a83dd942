package store

import "testing"

// A user's own quota comes before those of their groups, of which the largest
// counts.
func TestWhichQuotaCounts(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	u, err := s.CreateUser(ctx, NewUser{Username: "bob", Email: "bob@example.com", PasswordHash: "x", Role: RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"insert into groups (name) values ('small'), ('large'), ('others')",
		"insert into group_members (group_id, user_id) select g.id, u.id from groups g, users u where g.name <> 'others'",
	} {
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, want int) {
		t.Helper()
		if got, err := s.UsageOf(ctx, u.ID); err != nil || got.Budget != want {
			t.Errorf("%s: budget %d, %v, want %d", when, got.Budget, err, want)
		}
	}
	set := func(q Quota) {
		t.Helper()
		if err := s.SetQuota(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", -1)
	set(Quota{Name: "others", Group: true, Budget: 99})
	expect("another group's", -1)
	set(Quota{Name: "SMALL", Group: true, Budget: 2})
	expect("a group's", 2)
	set(Quota{Name: "large", Group: true, Budget: 9})
	expect("two groups'", 9)
	set(Quota{Name: "Bob", Budget: 0})
	expect("one's own", 0)
	if list, err := s.Quotas(ctx); err != nil || len(list) != 4 || list[0] != (Quota{Name: "bob"}) || list[1].Name != "large" {
		t.Errorf("quotas: %+v, %v", list, err)
	}
	if err := s.DeleteQuota(ctx, "bob", false); err != nil {
		t.Fatal(err)
	}
	expect("one's own is ended", 9)
}
