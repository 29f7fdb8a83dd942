package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
)

// memory is a store of one user, one agent and some tokens. It panics at what
// the tests with it have no need of.
type memory struct {
	Store
	user   store.User
	agent  store.MeshAgent
	tokens map[uuid.UUID]store.Token
	keys   []store.ProvisionerKey
	away   bool

	locked   bool
	attempts int
}

var errAway = errors.New("connection refused")

func (m *memory) LiveToken(_ context.Context, id uuid.UUID) (store.LiveToken, error) {
	if m.away {
		return store.LiveToken{}, errAway
	}
	if t, ok := m.tokens[id]; ok {
		return store.LiveToken{Token: t}, nil
	}
	return store.LiveToken{}, store.ErrNotFound
}

func (m *memory) TouchToken(context.Context, uuid.UUID) error { return nil }

func (m *memory) CreateToken(_ context.Context, n store.NewToken) (store.Token, error) {
	t := store.Token{ID: uuid.New(), UserID: n.UserID, Name: n.Name, SecretHash: n.SecretHash, ExpiresAt: n.ExpiresAt}
	m.tokens[t.ID] = t
	return t, nil
}

func (m *memory) CountLogin(context.Context, string) error {
	if m.locked {
		return &store.Locked{For: 14500 * time.Millisecond}
	}
	m.attempts++
	return nil
}

func (m *memory) ForgetLogins(context.Context, string) error {
	m.attempts = 0
	return nil
}

func (m *memory) LiveAgent(_ context.Context, id uuid.UUID) (store.MeshAgent, error) {
	if m.away {
		return store.MeshAgent{}, errAway
	}
	if id == m.agent.ID {
		return m.agent, nil
	}
	return store.MeshAgent{}, store.ErrNotFound
}

func (m *memory) LiveProvisionerKey(_ context.Context, id uuid.UUID) (store.ProvisionerKey, error) {
	for _, k := range m.keys {
		if k.ID == id {
			return k, nil
		}
	}
	return store.ProvisionerKey{}, store.ErrNotFound
}

func (m *memory) UserByName(_ context.Context, name string) (store.User, error) {
	if strings.EqualFold(name, m.user.Username) {
		return m.user, nil
	}
	return store.User{}, store.ErrNotFound
}

func newMemory(t *testing.T) (*memory, *Authenticator, string) {
	t.Helper()
	text, hash := secret.New()
	m := &memory{
		agent:  store.MeshAgent{ID: uuid.New(), OwnerID: uuid.New(), TokenHash: hash},
		tokens: map[uuid.UUID]store.Token{},
	}
	a := New(m)
	pw, err := a.HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	m.user = store.User{ID: uuid.New(), Username: "alice", PasswordHash: pw}
	return m, a, AgentToken(m.agent.ID, text)
}

func TestTokensNameTheirHolders(t *testing.T) {
	m, a, agentToken := newMemory(t)
	userToken, _, err := a.IssueToken(t.Context(), m.user.ID, "laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := a.Authenticate(t.Context(), userToken); err != nil || id.Kind != User || id.UserID != m.user.ID {
		t.Errorf("user token: %+v, %v", id, err)
	}
	if id, err := a.Authenticate(t.Context(), agentToken); err != nil || id.Kind != Agent || id.AgentID != m.agent.ID {
		t.Errorf("agent token: %+v, %v", id, err)
	}
}

func TestEveryBadTokenIsTheSameError(t *testing.T) {
	m, a, agentToken := newMemory(t)
	userToken, tok, err := a.IssueToken(t.Context(), m.user.ID, "laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	delete(m.tokens, tok.ID) // revoked
	for name, token := range map[string]string{
		"empty": "", "garbage": "xyzzy", "revoked": userToken,
		"wrong secret":        agentToken[:len(agentToken)-1] + "!",
		"unknown agent":       AgentToken(uuid.New(), "x"),
		"no secret":           strings.TrimRight(agentToken, "_") + "_",
		"agent as user":       "adit_" + strings.TrimPrefix(agentToken, "adit_agent_"),
		"dashed id":           "adit_" + tok.ID.String() + "_x",
		"ten thousand digits": "adit_" + strings.Repeat("0", 10_000),
	} {
		if _, err := a.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v, want ErrUnauthenticated", name, err)
		}
	}
}

func TestDatabaseAwayIsNotABadToken(t *testing.T) {
	m, a, agentToken := newMemory(t)
	m.away = true
	if _, err := a.Authenticate(t.Context(), agentToken); err == nil || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("got %v, want the database's error", err)
	}
}

func TestPasswords(t *testing.T) {
	m, a, _ := newMemory(t)
	if u, err := a.CheckPassword(t.Context(), "Alice", "correct horse"); err != nil || u.ID != m.user.ID {
		t.Errorf("right password: %v, %v", u.ID, err)
	}
	if _, err := a.CheckPassword(t.Context(), "alice", "wrong"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err := a.CheckPassword(t.Context(), "nobody", "wrong"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("unknown user: %v", err)
	}
	if _, err := a.HashPassword(t.Context(), "short"); !errors.Is(err, ErrPassword) {
		t.Errorf("short password: %v", err)
	}
}

func FuzzAuthenticate(f *testing.F) {
	m := &memory{tokens: map[uuid.UUID]store.Token{}}
	a := New(m)
	f.Add("adit_00000000000000000000000000000000_x")
	f.Add("adit_agent_00000000000000000000000000000000_")
	// No token that was not issued is ever good.
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := a.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: %v", token, err)
		}
	})
}
