package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
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

// newSignInPeers answers as an OpenID Connect provider, and as GitHub about the app
// adit with the secret hunter2.
func newSignInPeers(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	for _, path := range []string{"", "/other"} { // both say that they are the first
		mux.HandleFunc("GET "+path+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%[1]q,"token_endpoint":%[1]q,"jwks_uri":%[1]q}`, web.URL)
		})
	}
	mux.HandleFunc("POST /api/v3/applications/adit/token", func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusUnauthorized
		if id, secret, _ := r.BasicAuth(); id == "adit" && secret == "hunter2" {
			status = http.StatusNotFound // there is no such token
		}
		w.WriteHeader(status)
	})
	mux.HandleFunc("/away/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	return web.URL
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
	for name, want := range map[string]string{"settings": "ok", "data": "ok", "state": "warning", "database": "ok", "certificate": "ok", "port": "ok", "terraform": "ok", "sign-in": "ok", "access": "warning"} {
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
	if r := c.check(exitFailed, with("--node-ping", "60s")...)["settings"]; r.Status != "error" || !strings.Contains(r.Detail, "--node-timeout") {
		t.Errorf("pings that come after the timeout: %+v, want an error", r)
	}

	// Providers that know us as they should, and that do not.
	idp := newSignInPeers(t)
	oidc := func(issuer string) []string {
		return with("--oidc-issuer", issuer, "--oidc-client-id", "adit", "--oidc-client-secret", "hunter2")
	}
	github := func(secret string) []string {
		return with("--github-url", idp, "--github-client-id", "adit", "--github-client-secret", secret, "--github-allow-everybody")
	}
	for name, args := range map[string][]string{"OpenID Connect": oidc(idp), "GitHub": github("hunter2")} {
		if r := c.check(0, args...)["sign-in"]; r.Status != "ok" || !strings.Contains(r.Detail, name) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for says, args := range map[string][]string{
		"did not match the issuer": oidc(idp + "/other"), "connection refused": oidc("http://127.0.0.1:1"),
		"needs --oidc-client-id": with("--oidc-issuer", idp), "does not know the app": github("wrong"),
		"answers 503": with("--github-url", idp+"/away", "--github-client-id", "adit", "--github-allow-everybody"),
	} {
		if r := c.check(exitFailed, args...)["sign-in"]; r.Status != "error" || !strings.Contains(r.Detail, says) {
			t.Errorf("%q: %+v", says, r)
		}
	}

	// Beside a server that runs, the database is its own, and up to date.
	url := serve(t)
	if r := c.check(0, with("--access-url", url)...)["access"]; r.Status != "warning" || !strings.Contains(r.Detail, "this machine alone") {
		t.Errorf("access URL of this machine: %+v", r)
	}
}
