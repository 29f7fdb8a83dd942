package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestTheAuditLogCannotBeChanged(t *testing.T) {
	s := open(t)
	addUser(t, s, "alice")
	for _, statement := range []string{
		"update audit_log set actor_name = 'mallory'", "delete from audit_log", "truncate audit_log", "delete from audit_log where false",
	} {
		_, err := s.pool.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v, want to be refused", statement, err)
		}
	}
	if got, err := s.Audit(t.Context(), AuditFilter{Action: "user", Limit: 10}); err != nil || len(got) != 1 || got[0].Action != "user.created" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhoIsInWhatIsAudited(t *testing.T) {
	s := open(t)
	alice := addUser(t, s, "alice")
	o, err := s.CreateOrganization(t.Context(), "lab", alice.ID)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.CreateGroup(t.Context(), o, "ops")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddGroupMember(t.Context(), g.ID, alice.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveGroupMember(t.Context(), g.ID, alice.ID, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"organization.created", "membership.created", "group.created", "group_membership.created", "group_membership.deleted"} {
		kind, _, _ := strings.Cut(want, ".")
		got, err := s.Audit(t.Context(), AuditFilter{Action: kind, Limit: 10})
		if err != nil || !slices.ContainsFunc(got, func(e AuditEntry) bool { return e.Action == want }) {
			t.Errorf("no %s in %+v, %v", want, got, err)
		}
	}
}

// What has no name of its own is called as the workspace that it is of, or the
// user: nobody knows a share by its id.
func TestWhatHasNoNameIsAuditedByWhoseItIs(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	alice, bob := addUser(t, s, "alice"), addUser(t, s, "bob")
	w, err := s.CreateWorkspace(ctx, NewWorkspace{OwnerID: alice.ID, OwnerName: "alice", Name: "dev", External: true, AgentName: "main", AgentTokenHash: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.CreateGroup(ctx, Organization{ID: DefaultOrganization, Name: "default"}, "ops")
	if err != nil {
		t.Fatal(err)
	}
	with := ShareWith{WorkspaceID: w.ID, Name: "bob"}
	for _, err := range []error{
		s.Share(ctx, with, "apps", alice.ID, nil), s.Unshare(ctx, with, nil),
		s.OfferWorkspace(ctx, w.ID, "bob", alice.ID, nil), s.CancelOffer(ctx, w.ID, nil),
		s.AddGroupMember(ctx, g.ID, bob.ID, nil), s.AddIdentity(ctx, bob.ID, "https://id.example.com", "1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for action, want := range map[string]string{
		"share.created": "dev", "share.deleted": "dev", "offer.created": "dev", "offer.deleted": "dev",
		"group_membership.created": "bob", "identity.created": "bob",
	} {
		if got, err := s.Audit(ctx, AuditFilter{Action: action, Limit: 10}); err != nil || len(got) != 1 || got[0].ObjectName != want {
			t.Errorf("%s: %+v, %v, want it of %s", action, got, err, want)
		}
	}
}

// What did not happen is neither told nor noted; what did is both, in whose
// name it was, also on a connection that served somebody else before.
func TestAuditAndEventsGoWithTheChange(t *testing.T) {
	s := open(t)
	alice, bob := addUser(t, s, "alice"), addUser(t, s, "bob")
	addAgent(t, s, alice, "dev")
	before, err := s.NewestEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateWorkspace(t.Context(), NewWorkspace{OwnerID: alice.ID, Name: "dev", External: true, AgentName: "main", AgentTokenHash: []byte("x")})
	if !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	if after, err := s.NewestEvent(t.Context()); err != nil || after != before {
		t.Errorf("a change that failed is told: %d, %v", after, err)
	}
	entries := func() []AuditEntry {
		list, err := s.Audit(t.Context(), AuditFilter{Action: "token", Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for i := range 3 * maxConns {
		ctx, want := t.Context(), Actor{Kind: ActorSystem}
		if i%3 > 0 {
			want = Actor{Kind: ActorUser, UserID: []User{alice, bob}[i%3-1].ID, Remote: "192.0.2.1", RequestID: "r'1"}
			ctx = WithActor(ctx, want)
		}
		if _, err := s.CreateToken(ctx, NewToken{UserID: alice.ID, Name: "t", SecretHash: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if got := entries(); len(got) != i+1 || got[0].Actor != want {
			t.Fatalf("entry %d of %d is %+v's, want %+v", i, len(got), got[0].Actor, want)
		}
	}
}
