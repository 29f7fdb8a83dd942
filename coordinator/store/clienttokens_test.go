package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A token of programs ends by itself, and with the agent's token that it was asked for
// with; and an agent has no more than a few.
func TestClientTokensEnd(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	alice, err := s.CreateUser(ctx, NewUser{Username: "alice", Email: "alice@example.com", PasswordHash: "x", Role: RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.CreateWorkspace(ctx, NewWorkspace{OwnerID: alice.ID, OwnerName: "alice", Name: "dev", External: true, AgentName: "main", AgentTokenHash: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	agent := w.Agents[0].ID
	made := func(lifetime time.Duration) uuid.UUID {
		t.Helper()
		id, err := s.CreateClientToken(ctx, agent, []byte("secret"), lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	lives := func(id uuid.UUID) bool {
		t.Helper()
		got, err := s.LiveClientToken(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if err == nil && (got.AgentID != agent || got.OwnerID != alice.ID || string(got.SecretHash) != "secret" || got.Left <= 0 || got.Left > time.Minute) {
			t.Errorf("%+v", got)
		}
		return err == nil
	}
	first := made(time.Minute)
	if !lives(first) || lives(made(-time.Second)) || lives(uuid.New()) {
		t.Error("a token lives that is over, or does not that is not")
	}
	for range keptClientTokens + 1 {
		made(time.Minute)
	}
	if lives(first) {
		t.Error("an agent has as many as it asks for")
	}
	last := made(time.Minute)
	if _, err := s.pool.Exec(ctx, "update agents set token_hash = 'y' where id = $1", agent); err != nil {
		t.Fatal(err)
	}
	if lives(last) {
		t.Error("a token outlives the agent's")
	}
	last = made(time.Minute)
	if err := s.DeleteWorkspace(ctx, w.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateClientToken(ctx, agent, []byte("secret"), time.Minute); lives(last) || !errors.Is(err, ErrNotFound) {
		t.Errorf("a token outlives the workspace, or is made for one that is gone: %v", err)
	}
}
