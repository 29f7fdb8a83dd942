package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/postgres/postgrestest"
)

// server is one real Postgres for all tests; each has a database of its own, with
// the schema, unless it asks for an empty one.
var server *postgres.Server

func TestMain(m *testing.M) {
	os.Exit(postgrestest.Main(m, &server, func(ctx context.Context, url string) error {
		s, err := Open(ctx, url, slog.New(slog.DiscardHandler))
		if err == nil {
			s.Close()
		}
		return err
	}))
}

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), postgrestest.Database(t, server), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func addUser(t *testing.T, s *Store, name string) User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), NewUser{Username: name, Email: name + "@example.com", PasswordHash: "x", Role: RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func addAgent(t *testing.T, s *Store, u User, workspace string) Agent {
	t.Helper()
	w, err := s.CreateWorkspace(t.Context(), NewWorkspace{
		OwnerID: u.ID, OwnerName: u.Username, Name: workspace, External: true, AgentName: "main", AgentTokenHash: []byte("hash"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w.Agents[0]
}

func key(b byte) (k [32]byte) {
	k[0] = b
	return k
}

func TestFirstUserIsMadeOnce(t *testing.T) {
	s := open(t)
	results := make(chan error, 4)
	for i := range cap(results) {
		go func() {
			_, err := s.CreateFirstUser(t.Context(), NewUser{
				Username: fmt.Sprint("u", i), Email: fmt.Sprint(i, "@example.com"), PasswordHash: "x", Role: RoleOwner,
			})
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, ErrConflict) {
			t.Errorf("loser got %v, want ErrConflict", err)
		}
	}
	if won != 1 {
		t.Errorf("%d first users, want 1", won)
	}
}

func TestNamesAreUniqueInAnyCaseUntilDeleted(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	if _, err := s.CreateUser(t.Context(), NewUser{Username: "ALICE", Email: "b@example.com", PasswordHash: "x", Role: RoleMember}); !errors.Is(err, ErrConflict) {
		t.Errorf("second alice: %v, want ErrConflict", err)
	}
	a := addAgent(t, s, u, "dev")
	if _, err := s.CreateWorkspace(t.Context(), NewWorkspace{OwnerID: u.ID, Name: "Dev", AgentName: "main", AgentTokenHash: []byte("x")}); !errors.Is(err, ErrConflict) {
		t.Errorf("second dev: %v, want ErrConflict", err)
	}
	if err := s.DeleteWorkspace(t.Context(), a.WorkspaceID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LiveAgent(t.Context(), a.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("agent of a deleted workspace: %v, want ErrNotFound", err)
	}
	addAgent(t, s, u, "dev")
}

func TestTokensExpireAndAreRevoked(t *testing.T) {
	s := open(t)
	u, eve := addUser(t, s, "alice"), addUser(t, s, "eve")
	past := time.Now().Add(-time.Hour)
	old, err := s.CreateToken(t.Context(), NewToken{UserID: u.ID, Name: "old", SecretHash: []byte("h"), ExpiresAt: &past})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LiveToken(t.Context(), old.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("expired token: %v, want ErrNotFound", err)
	}
	tok, err := s.CreateToken(t.Context(), NewToken{UserID: u.ID, Name: "laptop", SecretHash: []byte("h")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeToken(t.Context(), eve.ID, tok.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody else's token: %v, want ErrNotFound", err)
	}
	if err := s.RevokeToken(t.Context(), u.ID, tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LiveToken(t.Context(), tok.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked token: %v, want ErrNotFound", err)
	}
}

func TestAgentKeepsItsIDAndAddressWithEveryKey(t *testing.T) {
	s := open(t)
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	for _, k := range []byte{1, 2} {
		n, err := s.JoinAgent(t.Context(), a.ID, key(k), key(k), "v1")
		if err != nil {
			t.Fatal(err)
		}
		if n.ID != a.ID || n.Address != meshaddr.FromID(a.ID) || !n.Agent {
			t.Errorf("with key %d: %+v", k, n)
		}
	}
	if known, err := s.NodeKeyKnown(t.Context(), key(1)); err != nil || known {
		t.Errorf("the replaced key is still known (%v)", err)
	}
}

func TestAgentThatComesBackWithItsKeysWritesNothing(t *testing.T) {
	s := open(t)
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	written := func(version string) (rows string) {
		t.Helper()
		n, err := s.JoinAgent(t.Context(), a.ID, key(1), key(2), version)
		if err != nil || n.AgentName != "main" || n.WorkspaceName != "dev" || n.OwnerName != "alice" {
			t.Fatalf("%+v, %v", n, err)
		}
		const xmins = "select n.xmin::text || ' ' || n.xmax::text || ' ' || a.xmin::text || ' ' || a.version from nodes n join agents a on a.id = n.agent_id where n.id = $1"
		if err := s.pool.QueryRow(t.Context(), xmins, a.ID).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	first := written("v1")
	if again := written("v1"); again != first {
		t.Errorf("rows are %s, then %s", first, again)
	}
	if newer := written("v2"); !strings.HasSuffix(newer, " v2") {
		t.Errorf("after an upgrade rows are %s", newer)
	}
}

func TestKeyOfAnotherNodeIsRefused(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	a := addAgent(t, s, u, "dev")
	if _, err := s.JoinAgent(t.Context(), a.ID, key(1), key(1), ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.JoinClient(t.Context(), u.ID, "", key(1), key(2)); !errors.Is(err, ErrKeyInUse) {
		t.Errorf("client with the agent's key: %v, want ErrKeyInUse", err)
	}
	if _, err := s.JoinAgent(t.Context(), addAgent(t, s, u, "other").ID, key(1), key(3), ""); !errors.Is(err, ErrKeyInUse) {
		t.Errorf("other agent with the key: %v, want ErrKeyInUse", err)
	}
}

func TestResumeTokenKeepsTheNodeForItsUserOnly(t *testing.T) {
	s := open(t)
	u, eve := addUser(t, s, "alice"), addUser(t, s, "eve")
	first, resume, err := s.JoinClient(t.Context(), u.ID, "", key(1), key(1))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := s.JoinClient(t.Context(), u.ID, resume, key(1), key(1))
	if err != nil || again.ID != first.ID {
		t.Errorf("resumed as %v, %v, want %v", again.ID, err, first.ID)
	}
	stolen, _, err := s.JoinClient(t.Context(), eve.ID, resume, key(9), key(9))
	if err != nil || stolen.ID == first.ID {
		t.Errorf("eve resumed alice's node (%v)", err)
	}
	if err := s.LeaveClient(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if after, _, err := s.JoinClient(t.Context(), u.ID, resume, key(1), key(1)); err != nil || after.ID == first.ID {
		t.Errorf("resumed a node that said bye (%v)", err)
	}
}

func TestClientWhoseWelcomeWasLostGetsItsNodeAgain(t *testing.T) {
	s := open(t)
	u, eve := addUser(t, s, "alice"), addUser(t, s, "eve")
	first, _, err := s.JoinClient(t.Context(), u.ID, "", key(1), key(1))
	if err != nil {
		t.Fatal(err)
	}
	again, resume, err := s.JoinClient(t.Context(), u.ID, "", key(1), key(1))
	if err != nil || again.ID != first.ID {
		t.Errorf("got %v, %v, want %v", again.ID, err, first.ID)
	}
	if third, _, err := s.JoinClient(t.Context(), u.ID, resume, key(2), key(2)); err != nil || third.ID != first.ID {
		t.Errorf("the new token resumes %v, %v", third.ID, err)
	}
	for name, join := range map[string]func() (Node, string, error){
		"another disco key": func() (Node, string, error) { return s.JoinClient(t.Context(), u.ID, "", key(2), key(9)) },
		"another user":      func() (Node, string, error) { return s.JoinClient(t.Context(), eve.ID, "", key(2), key(2)) },
	} {
		if n, _, err := join(); !errors.Is(err, ErrKeyInUse) {
			t.Errorf("%s: %v, %v, want ErrKeyInUse", name, n.ID, err)
		}
	}
}

func TestKeyOfADeletedWorkspacesAgentIsUnknown(t *testing.T) {
	s := open(t)
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	if _, err := s.JoinAgent(t.Context(), a.ID, key(1), key(1), ""); err != nil {
		t.Fatal(err)
	}
	if known, err := s.NodeKeyKnown(t.Context(), key(1)); err != nil || !known {
		t.Errorf("before: %v, %v", known, err)
	}
	if err := s.DeleteWorkspace(t.Context(), a.WorkspaceID); err != nil {
		t.Fatal(err)
	}
	if known, err := s.NodeKeyKnown(t.Context(), key(1)); err != nil || known {
		t.Errorf("after: %v, %v", known, err)
	}
}

func TestLivenessIsWrittenForAllAtOnce(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	a, b := addAgent(t, s, u, "a"), addAgent(t, s, u, "b")
	t0 := time.Now().Truncate(time.Second)
	record := func(l ...AgentLiveness) {
		t.Helper()
		if err := s.RecordLiveness(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	record(AgentLiveness{a.ID, AgentConnected, t0}, AgentLiveness{b.ID, AgentConnected, t0})
	record(AgentLiveness{a.ID, AgentConnected, t0.Add(15 * time.Second)}, AgentLiveness{b.ID, AgentTimeout, t0.Add(30 * time.Second)})
	get := func(name string) Agent {
		t.Helper()
		w, err := s.WorkspaceByName(t.Context(), "alice", name)
		if err != nil {
			t.Fatal(err)
		}
		return w.Agents[0]
	}
	if got := get("a"); got.State != AgentConnected || !got.FirstConnectedAt.Equal(t0) ||
		!got.LastConnectedAt.Equal(t0.Add(15*time.Second)) || got.DisconnectedAt != nil {
		t.Errorf("a: %+v", got)
	}
	if got := get("b"); got.State != AgentTimeout || !got.LastConnectedAt.Equal(t0) || !got.DisconnectedAt.Equal(t0.Add(30*time.Second)) {
		t.Errorf("b: %+v", got)
	}
	if ids, err := s.ConnectedAgents(t.Context()); err != nil || len(ids) != 1 || ids[0] != a.ID {
		t.Errorf("connected: %v, %v", ids, err)
	}
}

func TestStaleClientsAreForgottenButForThoseHere(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	here, _, err := s.JoinClient(t.Context(), u.ID, "", key(1), key(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.JoinClient(t.Context(), u.ID, "", key(2), key(2)); err != nil {
		t.Fatal(err)
	}
	n, err := s.DeleteStaleClients(t.Context(), time.Now().Add(time.Hour), []uuid.UUID{here.ID})
	if err != nil || n != 1 {
		t.Errorf("forgot %d, %v, want 1", n, err)
	}
	if known, _ := s.NodeKeyKnown(t.Context(), key(1)); !known {
		t.Error("a client that is here was forgotten")
	}
}

func TestUnreachableDatabaseIsAClearError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "postgres://nobody@127.0.0.1:1/none", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened a database that is not there")
	}
}

// Wrong passwords make a name wait, longer each time, and nobody else. Of many
// at once none goes uncounted.
func TestGuessingIsSlowedDownByName(t *testing.T) {
	s := open(t)
	results := make(chan error, 4*freeAttempts)
	for range cap(results) {
		go func() { results <- s.CountLogin(t.Context(), "alice") }()
	}
	allowed := 0
	for range cap(results) {
		if err := <-results; err == nil {
			allowed++
		} else if locked := new(Locked); !errors.As(err, &locked) || locked.For < 10*time.Second || locked.For > 15*time.Second {
			t.Errorf("%v, want a lock of 15 s", err)
		}
	}
	if allowed != freeAttempts {
		t.Errorf("%d guesses at once, want %d", allowed, freeAttempts)
	}
	if err := s.CountLogin(t.Context(), "bob"); err != nil {
		t.Errorf("bob has to wait for alice's mistakes: %v", err)
	}
	waits := func() (left time.Duration) {
		t.Helper()
		var until time.Time
		if err := s.pool.QueryRow(t.Context(), "select locked_until from login_failures where name = 'alice'").Scan(&until); err != nil {
			t.Fatal(err)
		}
		return time.Until(until).Round(5 * time.Second)
	}
	for _, want := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		if got := waits(); got != want {
			t.Errorf("waits %v, want %v", got, want)
		}
		// The wait is over.
		if _, err := s.pool.Exec(t.Context(), "update login_failures set locked_until = now() where name = 'alice'"); err != nil {
			t.Fatal(err)
		}
		if err := s.CountLogin(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ForgetLogins(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if err := s.CountLogin(t.Context(), "alice"); err != nil {
		t.Errorf("after the right password: %v", err)
	}
}
