package self

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aditmesh/adit/agent/update"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent answers what it was made with, and notes what it is asked for.
type agent struct {
	extended time.Duration
	stopped  bool
	refuse   error
}

func (a *agent) Env() []string     { return []string{"A=1"} }
func (a *agent) Ports() []sdk.Port { return []sdk.Port{{Port: 3000, Protocol: "http"}} }
func (a *agent) URL() string       { return "https://adit.example.com" }
func (a *agent) Login(context.Context) (Login, error) {
	return Login{URL: a.URL(), Token: "adit_client_x"}, a.refuse
}
func (a *agent) Workspace(context.Context) (sdk.Workspace, error) {
	return sdk.Workspace{Name: "dev"}, a.refuse
}
func (a *agent) Stop(context.Context) (sdk.Build, error) {
	a.stopped = true
	return sdk.Build{Number: 7}, nil
}
func (a *agent) Update(_ context.Context, within time.Duration) (update.Answer, error) {
	return update.Answer{Version: "2.0", Changed: true, WithinSeconds: int64(within / time.Second)}, a.refuse
}
func (a *agent) Extend(_ context.Context, by time.Duration) (sdk.Workspace, error) {
	a.extended = by
	return sdk.Workspace{Name: "dev"}, nil
}

func open(t *testing.T, a Agent, uids ...int) *Server {
	t.Helper()
	s, err := Open(Config{Agent: a, UIDs: uids})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProgramsOfTheWorkspaceAsk(t *testing.T) {
	a := &agent{}
	s := open(t, a, os.Getuid())
	defer s.Close()
	c, ctx := NewClient(s.Path()), t.Context()
	if env, err := c.Env(ctx); err != nil || len(env) != 1 || env[0] != "A=1" {
		t.Errorf("env: %v, %v", env, err)
	}
	if list, err := c.Ports(ctx); err != nil || len(list) != 1 || list[0].Port != 3000 {
		t.Errorf("ports: %v, %v", list, err)
	}
	if u, err := c.URL(ctx); err != nil || u != a.URL() {
		t.Errorf("url: %v, %v", u, err)
	}
	if l, err := c.Login(ctx); err != nil || l != (Login{URL: a.URL(), Token: "adit_client_x"}) {
		t.Errorf("login: %v, %v", l, err)
	}
	if w, err := c.Extend(ctx, 2*time.Hour); err != nil || w.Name != "dev" || a.extended != 2*time.Hour {
		t.Errorf("extend: %v, %v, by %v", w.Name, err, a.extended)
	}
	if b, err := c.Stop(ctx); err != nil || b.Number != 7 || !a.stopped {
		t.Errorf("stop: %v, %v", b.Number, err)
	}
	if u, err := c.Update(ctx, time.Minute); err != nil || u != (update.Answer{Version: "2.0", Changed: true, WithinSeconds: 60}) {
		t.Errorf("update: %+v, %v", u, err)
	}
	// What the coordinator has against it, the program is told.
	a.refuse = &sdk.Error{Status: http.StatusConflict, Detail: "a build is under way"}
	var refused *sdk.Error
	if _, err := c.Workspace(ctx); !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Detail != "a build is under way" {
		t.Errorf("refused: %v", err)
	}
	if err := c.ask(ctx, http.MethodGet, "token", nil, new(any)); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("what there is not: %v", err)
	}
	if err := c.ask(ctx, http.MethodPost, "extend", "no object", new(any)); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		t.Errorf("nonsense: %v", err)
	}
}

func TestTheSocketIsForItsUserAlone(t *testing.T) {
	s := open(t, &agent{})
	for path, want := range map[string]os.FileMode{s.Path(): 0o600, filepath.Dir(s.Path()): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(s.Path())); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}
