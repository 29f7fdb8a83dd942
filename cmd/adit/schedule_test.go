package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/pkg/postgres"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// A workspace of the template that the binary carries stops when its time is up and
// starts at its time of day, by real Terraform, and its agent is back. Only the clock
// of schedules is not the world's.
func TestAWorkspaceStartsAndStopsByItself(t *testing.T) {
	quiet(t)
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform: ", err)
	}
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var ahead, looks atomic.Int64
	c := scheduled(t, func(now time.Time) time.Time {
		looks.Add(1)
		return now.Add(time.Duration(ahead.Load()))
	})
	key, err := c.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "host"})
	if err != nil {
		t.Fatal(err)
	}
	startProvisioner(t, bin, c.URL(), key.Text)
	config := commandLine{t, filepath.Join(dir, "config")}
	as := func(args ...string) []string { return append(args, "--url", c.URL().String(), "--token", c.Token()) }
	files := filepath.Join(dir, "template")
	config.succeeds("", "", "templates", "init", "process", files)
	config.succeeds("version 1", "", as("templates", "push", "process", "-d", files)...)
	config.succeeds("running", "", as("create", "dev", "--template", "process")...)
	t.Cleanup(func() { // no process stays, whatever happens; the test's own context has ended
		var said bytes.Buffer
		args := append(as("delete", "-y", "dev"), "--config-dir", config.dir)
		if code := run(context.WithoutCancel(t.Context()), streams{in: strings.NewReader(""), out: &said, err: &said}, args); code != 0 {
			t.Errorf("delete: exit %d, %s", code, &said)
		}
	})

	at := time.Now().Add(6 * time.Hour).UTC()
	config.succeeds("2h after its start", "", as("schedule", "dev", "--start", at.Format("daily 15:04"), "--stop-after", "2h")...)
	// Nothing stops before agents could tell for five minutes what is used.
	eventually(t, "a first look at schedules", func() bool { return looks.Load() > 0 })
	move := func(by time.Duration, transition, reason, phase string) {
		t.Helper()
		ahead.Store(int64(by))
		eventually(t, reason, func() bool {
			w, err := c.Workspace(t.Context(), "me", "dev")
			if err != nil {
				t.Fatal(err)
			}
			b := w.LatestBuild
			return w.Phase == phase && b.Transition == transition && b.Reason == reason && b.Job.Status == "succeeded"
		})
	}
	move(3*time.Hour, sdk.TransitionStop, "autostop", "stopped")
	move(6*time.Hour+2*time.Minute, sdk.TransitionStart, "autostart", "running")
	eventually(t, "its agent", func() bool {
		w, err := c.Workspace(t.Context(), "me", "dev")
		return err == nil && len(w.Agents) == 1 && w.Agents[0].State == "connected"
	})
	list, err := c.Builds(t.Context(), "me", "dev")
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, b := range list {
		reasons = append(reasons, b.Reason)
	}
	if !slices.Equal(reasons, []string{"autostart", "autostop", "created"}) {
		t.Errorf("builds %v, want each once", reasons)
	}
}

// scheduled serves a coordinator with a clock for schedules, and returns a client of
// its first user.
func scheduled(t *testing.T, clock func(time.Time) time.Time) *sdk.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "adit-schedule-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that runs Postgres
		t.Fatal(err)
	}
	pg, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pg.Close() })
	keys, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &url.URL{Scheme: "http", Host: l.Addr().String()}
	s, err := coordinator.Open(t.Context(), coordinator.Config{
		PostgresURL: pg.URL(), StateKeys: keys, AccessURL: u, Relays: &meshv1.Relays{}, ScheduleClock: clock, Version: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	anybody := sdk.New(u, "")
	if _, err := anybody.CreateFirstUser(t.Context(), sdk.FirstUser{Username: "alice", Email: "alice@example.com", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	session, err := anybody.Login(t.Context(), sdk.Login{Username: "alice", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	return sdk.New(u, session.Token)
}

// startProvisioner runs the built binary as a provisioner until the test is over.
func startProvisioner(t *testing.T, bin string, u *url.URL, key string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "adit-provisioner-test-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "provisioner", "--url", u.String(), "--name", "host", "--slots", "1", "--data-dir", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "ADIT_PROVISIONER_TOKEN=" + key}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may be gone
		_ = cmd.Wait()
		os.RemoveAll(dir)
	})
}

// eventually polls a state outside this process, which nothing announces.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}
