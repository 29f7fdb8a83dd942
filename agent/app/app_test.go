package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// supervise runs apps until the test ends and returns what is reported.
func supervise(t *testing.T, apps ...sdk.App) <-chan []State {
	t.Helper()
	reports := make(chan []State, 100)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Config{
			Apps: apps, Shell: "/bin/sh", Dir: t.TempDir(), Env: []string{"PATH=" + os.Getenv("PATH")}, Report: func(s []State) { reports <- s },
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return reports
}

// until waits for a state of the first app.
func until(t *testing.T, reports <-chan []State, state string) State {
	t.Helper()
	timeout := time.After(patience)
	var last []State
	for {
		select {
		case last = <-reports:
			if last[0].State == state {
				return last[0]
			}
		case <-timeout:
			t.Fatalf("not %s within %v; last %+v", state, patience, last)
		}
	}
}

// A server falls ill and recovers. One failure is none.
func TestAServerThatFallsIllAndRecovers(t *testing.T) {
	var status, asked atomic.Int64
	status.Store(http.StatusOK)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	defer web.Close()
	reports := supervise(t, sdk.App{Slug: "web", HealthCheck: &sdk.AppCheck{URL: web.URL, IntervalSeconds: 1, Threshold: 2}})
	until(t, reports, sdk.AppStarting)
	until(t, reports, sdk.AppHealthy)
	status.Store(http.StatusServiceUnavailable)
	before := asked.Load()
	if s := until(t, reports, sdk.AppUnhealthy); !strings.Contains(s.Why, "503") {
		t.Errorf("why: %q", s.Why)
	}
	if n := asked.Load() - before; n < 2 {
		t.Errorf("ill after %d failures", n)
	}
	status.Store(http.StatusUnauthorized) // it wants a password, so it is there
	until(t, reports, sdk.AppHealthy)
}

func TestChecksByTCPAndByCommand(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "well")
	for name, c := range map[string]struct {
		check    sdk.AppCheck
		ill, why string
		end      func()
	}{
		"TCP":     {sdk.AppCheck{TCP: l.Addr().String()}, "", "refused", func() { l.Close() }},
		"command": {sdk.AppCheck{Command: "cat " + file}, "", "exit code 1, cat: ", func() { os.Remove(file) }},
	} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c.check.IntervalSeconds, c.check.Threshold = 1, 1
		reports := supervise(t, sdk.App{Slug: "a", HealthCheck: &c.check})
		until(t, reports, sdk.AppHealthy)
		c.end()
		if s := until(t, reports, sdk.AppUnhealthy); !strings.Contains(s.Why, c.why) {
			t.Errorf("%s: %q", name, s.Why)
		}
	}
}

// A command that ends is started again, and says why it is not well.
func TestACommandIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	command := fmt.Sprintf(`cd %s; if [ -e second ]; then exec sleep 1000; fi; touch second; echo no such luck; exit 3`, dir)
	reports := supervise(t, sdk.App{Slug: "a", Command: command})
	if s := until(t, reports, sdk.AppUnhealthy); !strings.Contains(s.Why, "exit code 3, no such luck") {
		t.Errorf("why: %q", s.Why)
	}
	until(t, reports, sdk.AppHealthy)
}

// What ends with the agent ends with all that it started.
func TestTheEndTakesAllWithIt(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Config{
			Apps:  []sdk.App{{Slug: "a", Command: "sleep 1000 & echo $! > pid; trap '' TERM; touch ready; wait; wait"}},
			Shell: "/bin/sh", Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH")}, Report: func([]State) {},
		})
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("never ready")
		}
	}
	cancel()
	<-done
	raw, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(raw)) + "/stat")
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("it lives on: %s", stat)
	}
}

func TestAppsThatAreNobodysToRunAreUnchecked(t *testing.T) {
	until(t, supervise(t, sdk.App{Slug: "a", URL: "http://localhost:1"}), sdk.AppUnchecked)
}
