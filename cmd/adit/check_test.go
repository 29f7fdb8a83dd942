package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check runs "adit server --check" and returns the statuses by check.
func (c commandLine) check(want int, args ...string) map[string]checkResult {
	c.t.Helper()
	out, errOut, code := c.run("", append([]string{"server", "--check", "-o", "json"}, args...)...)
	var report checkReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != want {
		c.t.Fatalf("exit %d, want %d: %v in %q, %q", code, want, err, out, errOut)
	}
	byName := make(map[string]checkResult)
	for _, r := range report.Checks {
		if r.Detail == "" || r.Status != "ok" && r.Fix == "" || strings.Contains(r.Detail, "hunter2") {
			c.t.Errorf("%+v", r)
		}
		name, _, _ := strings.Cut(r.Check, " ")
		byName[name] = r
	}
	return byName
}

func TestServerCheckLooksAndStartsNothing(t *testing.T) {
	for _, name := range []string{"ADIT_LISTEN", "ADIT_DATA_DIR", "ADIT_POSTGRES_URL", "ADIT_ACCESS_URL", stateKeyEnv} {
		t.Setenv(name, "")
	}
	c := commandLine{t, t.TempDir()}
	dir := filepath.Join(t.TempDir(), "data")
	base := []string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--stun-ports", "0", "--provisioners", "0"}
	with := func(more ...string) []string { return append(append([]string{}, base...), more...) }
	got := c.check(0, base...)
	for name, want := range map[string]string{"settings": "ok", "data": "ok", "state": "warning", "database": "ok", "certificate": "ok", "port": "ok", "terraform": "ok", "access": "warning"} {
		if got[name].Status != want {
			t.Errorf("a new deployment: %s is %+v, want %s", name, got[name], want)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
	c.succeeds("CHECK", "", append([]string{"server", "--check"}, base...)...)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]string{
		"port":        with("--listen", taken.Addr().String()),
		"database":    with("--postgres-url", "postgres://alice:hunter2@127.0.0.1:1/adit"),
		"certificate": with("--tls-cert", file, "--tls-key", file),
		"state":       with("--state-key-file", file),
		"data":        with("--data-dir", file),
		"settings":    with("--agent-binaries", filepath.Join(dir, "none")),
		"access":      with("--access-url", "https://adit.invalid"),
		"terraform":   with("--provisioners", "1", "--terraform", "/bin/true"),
	} {
		if r := c.check(exitFailed, bad...)[name]; r.Status != "error" {
			t.Errorf("%s: %+v, want an error", name, r)
		}
	}

	// Beside a server that runs, the database is its own, and up to date.
	url := serve(t)
	if r := c.check(0, with("--access-url", url)...)["access"]; r.Status != "warning" || !strings.Contains(r.Detail, "this machine alone") {
		t.Errorf("access URL of this machine: %+v", r)
	}
}
