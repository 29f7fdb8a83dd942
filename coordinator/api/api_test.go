package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/events"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/relays"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/store/storetest"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/postgres/postgrestest"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// server is one real Postgres for all tests; each has a database of its own.
var server *postgres.Server

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &server)) }

// deployment is the API on a database of its own.
type deployment struct {
	url     *url.URL
	handler http.Handler
	store   *store.Store
	auth    *auth.Authenticator
	revoked *revocations

	workspaces *workspaces.Service
	closing    chan struct{}
}

// revocations notes what would have been cut off, and knows one connection to
// every agent.
type revocations struct {
	mu                    sync.Mutex
	agents, tokens, users []uuid.UUID // guarded by mu
}

func (r *revocations) Connections(uuid.UUID) []mesh.Connection {
	return []mesh.Connection{{
		ClientName: "alice", ClientHere: true,
		ByClient: &mesh.View{Path: "derp", MTU: 1280, Code: "udp-blocked", Evidence: "silence", Fix: "open it"},
	}}
}

func (r *revocations) RegionLatencies() map[uint32]mesh.RegionLatency            { return nil }
func (r *revocations) Links(context.Context, uuid.UUID, uuid.UUID) (bool, error) { return false, nil }

func (r *revocations) AgentDeleted(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agents = append(r.agents, id)
}

func (r *revocations) UserRevoked(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users = append(r.users, id)
}

func (r *revocations) TokenRevoked(id uuid.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, id)
}

func deploy(t *testing.T, configure ...func(*Config)) *deployment {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db := postgrestest.Database(t, server)
	st, err := store.Open(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	keys, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{store: st, auth: auth.New(st), revoked: &revocations{}, closing: make(chan struct{})}
	d.workspaces = workspaces.New(workspaces.Config{Store: st, Keys: keys, Logger: log})
	bus := events.New(st, nil)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() { bus.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	conf := Config{
		Health: func(context.Context) sdk.Health {
			return sdk.Health{Status: sdk.HealthWarning, Findings: []sdk.Finding{{Code: "made-up", Severity: sdk.HealthWarning}}}
		},
		Support: func(context.Context) []sdk.SupportFile { return []sdk.SupportFile{{Name: "a"}} },
		Store:   st, Auth: d.auth, Mesh: d.revoked, Relays: relays.New(relays.Config{Store: st, Publish: func(*meshv1.Relays) {}}), Workspaces: d.workspaces, Events: bus, Keys: keys, Closing: d.closing, Version: "test", Logger: log,
	}
	for _, c := range configure {
		c(&conf)
	}
	d.handler = New(conf)
	web := httptest.NewServer(d.handler)
	t.Cleanup(web.Close)
	if d.url, err = url.Parse(web.URL); err != nil {
		t.Fatal(err)
	}
	return d
}

// add makes a user and returns a client that is signed in.
func (d *deployment) add(t *testing.T, name string, role store.Role) *sdk.Client {
	t.Helper()
	u, err := d.store.CreateUser(t.Context(), store.NewUser{Username: name, Email: name + "@example.com", PasswordHash: "none", Role: role})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := d.auth.IssueToken(t.Context(), u.ID, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.client(token)
}

func (d *deployment) client(token string) *sdk.Client { return sdk.New(d.url, token) }

// send sends a request by hand and returns the answer with its body.
func (d *deployment) send(t *testing.T, method, path, token string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.url.String()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

// status returns what status the coordinator answered an error with; 0 if
// there is none.
func status(err error) int {
	var e *sdk.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func TestErrorsAreProblems(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	token := "Bearer " + alice.Token()
	big := strings.Repeat("x", maxBody+1)
	for _, c := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"no such path", "GET", "/api/v1/nothing", "", 404},
		{"no such method", "PATCH", "/api/v1/workspaces", "", 405},
		{"no such workspace", "GET", "/api/v1/workspaces/me/none", "", 404},
		{"no body", "POST", "/api/v1/workspaces", "", 400},
		{"no JSON", "POST", "/api/v1/workspaces", "{", 400},
		{"unknown field", "POST", "/api/v1/workspaces", `{"name":"a","external":true,"admin":true}`, 422},
		{"body too large", "POST", "/api/v1/workspaces", `{"name":"` + big + `"}`, 413},
		{"body too large, signing in", "POST", "/api/v1/login", `{"username":"` + big + `"}`, 413},
		{"zero byte in a path", "GET", "/api/v1/workspaces/me/a%00b", "", 404},
		{"no UTF-8 in a path", "GET", "/api/v1/workspaces/%ff/dev", "", 404},
		{"zero byte in a name", "POST", "/api/v1/login", "{\"username\":\"a\\u0000b\",\"password\":\"12345678\"}", 401},
	} {
		resp, body := d.send(t, c.method, c.path, token, strings.NewReader(c.body))
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, resp.StatusCode, body, c.want)
		}
		var problem sdk.Error
		if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Status != c.want || problem.Detail == "" {
			t.Errorf("%s: %s is no problem: %v", c.name, body, err)
		}
		if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: content type %q", c.name, got)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no security headers", c.name)
		}
	}
}

func TestDatabaseAwayIs503(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200} {
		if resp, body := d.send(t, http.MethodGet, path, "", nil); resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
	d.store.Close()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		if resp, body := d.send(t, http.MethodGet, path, "", nil); resp.StatusCode != want {
			t.Errorf("database away: %s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
	// The token may be good: nobody is told to sign in again.
	if _, err := alice.Me(t.Context()); status(err) != http.StatusServiceUnavailable {
		t.Errorf("database away: %v, want 503", err)
	}
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{auth.ErrUnauthenticated, http.StatusUnauthorized},
		{errors.New("connection refused"), http.StatusServiceUnavailable},
	} {
		w := httptest.NewRecorder()
		Refuse(slog.New(slog.DiscardHandler))(w, c.err)
		if w.Code != c.want || !json.Valid(bytes.TrimSpace(w.Body.Bytes())) {
			t.Errorf("%v: %d %s, want %d", c.err, w.Code, w.Body, c.want)
		}
		if strings.Contains(w.Body.String(), "connection refused") {
			t.Errorf("tells strangers about the inside: %s", w.Body)
		}
	}
}
