package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// victimDir makes the test binary a program that runs a server in the
// directory named, to be killed.
const victimDir = "ADIT_TEST_POSTGRES_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if _, err := Start(context.Background(), Config{Dir: dir}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(victimReady)
		select {}
	}
	goleak.VerifyTestMain(m)
}

const victimReady = "ready"

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// dataDir is a directory that the unprivileged user may enter.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adit-postgres-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if at, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
			os.RemoveAll(at)
		}
		os.RemoveAll(dir)
	})
	return dir
}

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(testContext(t), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var out string
	if err := conn.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func TestClusterIsPrivateSurvivesRestartAndCrash(t *testing.T) {
	dir := dataDir(t)
	s, err := Start(testContext(t), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, "show listen_addresses"); got != "" {
		t.Errorf("listens on %q, want no network address", got)
	}
	query(t, s, "select 'made' from (select set_config('x.y','z',false)) q")
	if info, err := os.Stat(s.sockets); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v, want 0700", info.Mode(), err)
	}

	// The server dies: it is started again by itself.
	before := query(t, s, "select pg_postmaster_start_time()::text")
	pid := postmasterPID(t, s)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			conn.Close(ctx)
			break
		}
		if ctx.Err() != nil {
			t.Fatal("not back a minute after a crash")
		}
	}
	if after := query(t, s, "select pg_postmaster_start_time()::text"); after == before {
		t.Error("the server was not restarted")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	again, err := Start(testContext(t), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.data != s.data {
		t.Errorf("cluster moved from %s to %s", s.data, again.data)
	}
}

func postmasterPID(t *testing.T, s *Server) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	for _, c := range strings.SplitN(string(raw), "\n", 2)[0] {
		pid = pid*10 + int(c-'0')
	}
	return pid
}
