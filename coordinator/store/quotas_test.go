package store

import (
	"errors"
	"testing"

	"github.com/google/uuid"
)

// A user's own quota comes before those of their groups, of which the largest
// counts, in the group's organization.
func TestWhichQuotaCounts(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	u, err := s.CreateUser(ctx, NewUser{Username: "bob", Email: "bob@example.com", PasswordHash: "x", Role: RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"insert into groups (name) values ('small'), ('large'), ('others')",
		"insert into organizations (name) values ('research')",
		"insert into groups (name, organization_id) select 'small', id from organizations where name = 'research'",
		"insert into group_members (group_id, user_id) select g.id, u.id from groups g, users u where g.name <> 'others'",
	} {
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	research, err := s.OrganizationByName(ctx, "research")
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, want int, there ...int) {
		t.Helper()
		if got, err := s.UsageOf(ctx, u.ID, DefaultOrganization); err != nil || got.Budget != want {
			t.Errorf("%s: budget %d, %v, want %d", when, got.Budget, err, want)
		}
		for _, want := range there {
			if got, err := s.UsageOf(ctx, u.ID, research.ID); err != nil || got.Budget != want {
				t.Errorf("%s: budget %d in another organization, %v, want %d", when, got.Budget, err, want)
			}
		}
	}
	group := func(name string) QuotaOf {
		return QuotaOf{Name: name, Group: true, OrganizationID: DefaultOrganization}
	}
	set := func(of QuotaOf, budget int) {
		t.Helper()
		if err := s.SetQuota(ctx, of, budget, nil); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", -1)
	set(group("others"), 99)
	expect("another group's", -1)
	set(group("SMALL"), 2)
	expect("a group's", 2, -1)
	set(group("large"), 9)
	expect("two groups'", 9, -1)
	set(QuotaOf{Name: "small", Group: true, OrganizationID: research.ID}, 5)
	expect("of a group of the same name elsewhere", 9, 5)
	set(QuotaOf{Name: "Bob"}, 0)
	expect("one's own", 0, 0)
	list, err := s.Quotas(ctx, true, Scope{Everywhere: true}, Page{Max: 9})
	if err != nil || len(list) != 5 || list[0] != (Quota{Name: "bob"}) || list[1].Name != "large" || list[4] != (Quota{Name: "small", Organization: "research", Group: true, Budget: 5}) {
		t.Errorf("quotas: %+v, %v", list, err)
	}
	if there, err := s.Quotas(ctx, false, Scope{Organizations: []uuid.UUID{research.ID}}, Page{Max: 9}); err != nil || len(there) != 1 || there[0] != list[4] {
		t.Errorf("those of one organization: %+v, %v", there, err)
	}
	if err := s.DeleteQuota(ctx, QuotaOf{Name: "bob"}, nil); err != nil {
		t.Fatal(err)
	}
	expect("one's own is ended", 9, 5)
}

// Of a quota that two people look at and change, the first change counts.
func TestAQuotaIsChangedAsItWasSeen(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	if _, err := s.CreateUser(ctx, NewUser{Username: "bob", Email: "bob@example.com", PasswordHash: "x", Role: RoleMember}); err != nil {
		t.Fatal(err)
	}
	bobs := QuotaOf{Name: "bob"}
	if err := s.SetQuota(ctx, bobs, 1, Versions{1}); !errors.Is(err, ErrChanged) {
		t.Errorf("one that there is not: %v, want ErrChanged", err)
	}
	if err := s.SetQuota(ctx, bobs, 1, nil); err != nil {
		t.Fatal(err)
	}
	q, err := s.Quota(ctx, bobs)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetQuota(ctx, bobs, 2, Versions{q.Version}); err != nil {
		t.Errorf("as it was seen: %v", err)
	}
	for what, err := range map[string]error{"set": s.SetQuota(ctx, bobs, 3, Versions{q.Version}), "ended": s.DeleteQuota(ctx, bobs, Versions{q.Version})} {
		if !errors.Is(err, ErrChanged) {
			t.Errorf("%s as it was before: %v, want ErrChanged", what, err)
		}
	}
}
