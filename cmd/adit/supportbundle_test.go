package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/pkg/sdk"
)

// unpack reads a bundle.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "adit-support/")] = string(text)
	}
}

// Secrets are planted wherever there is room for one, and the bundle is searched
// for them.
func TestSupportBundleHasEverythingButSecrets(t *testing.T) {
	for _, name := range []string{"ADIT_URL", "ADIT_TOKEN", "ADIT_LISTEN", "ADIT_DATA_DIR", "ADIT_POSTGRES_URL"} {
		t.Setenv(name, "")
	}
	key := strings.TrimSpace(seal.NewKey())
	t.Setenv(stateKeyEnv, key)
	t.Setenv("PGPASSWORD", "planted-pg-password")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "planted/aws+key==")
	const accessPassword = "planted-access"
	listen := freeAddr(t)
	serve(t, "-v", "--log-format", "json", "--listen", listen, "--access-url", "https://people:"+accessPassword+"@adit.invalid")
	url := "http://" + listen
	c := commandLine{t, filepath.Join(t.TempDir(), "config")}
	const password, wrongPassword = "planted password", "planted-wrong-password"
	c.succeeds("Signed in", password+"\n", "login", url, "--username", "alice", "--password-stdin", "--first-user", "--email", "alice@example.com")
	c.fails(exitFailed, "wrong user name or password", wrongPassword+"\n", "login", url, "--username", "alice", "--password-stdin")
	var made sdk.CreatedWorkspace
	if err := json.Unmarshal([]byte(c.succeeds("", "", "create", "dev", "--external", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(c.succeeds("adit_", "", "tokens", "create", "ci"))
	// Where strangers put theirs: in headers, queries and paths.
	for _, place := range []string{"/api/v1/users/me?token=planted-query", "/api/v1/workspaces/me/" + token, "/rpc/v1/node", "/nowhere"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+place, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer planted-bearer")
		req.Header.Set("Cookie", "session=planted-cookie")
		req.Header.Set("User-Agent", "curl token=planted-agent")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}

	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	c.succeeds("Wrote "+file, "", "support-bundle", "-f", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v, want a file for its owner alone", info, err)
	}
	files := unpack(t, file)
	for name, says := range map[string]string{
		"server/version.txt": "adit dev", "server/config.txt": "listen=" + listen, "server/health.json": `"access-url-unreachable"`,
		"server/metrics.txt": "adit_database_up 1", "server/goroutines.txt": "goroutine profile", "server/log.txt": `"msg":"request"`,
		"client/version.json": url, "client/workspaces.json": `"dev"`, "client/netcheck.json": `"udp"`,
	} {
		if !strings.Contains(files[name], says) {
			t.Errorf("%s does not say %q: %.300s", name, says, files[name])
		}
	}
	session := commandLine{t, c.dir}.sessionToken()
	for what, secret := range map[string]string{
		"the state key": key, "Postgres's password": "planted-pg-password", "the cloud's key": "planted/aws+key", "the access URL's password": accessPassword,
		"a password": password, "a wrong password": wrongPassword, "an API token": token, "the session's token": session,
		"the agent's token": made.AgentToken, "a query": "planted-query", "a bearer": "planted-bearer", "a cookie": "planted-cookie", "a client's name": "planted-agent",
		"anything planted": "planted",
	} {
		for name, text := range files {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s is in %s: …%.200s", what, name, text[max(0, i-80):])
			}
		}
	}

	// Who owns nothing gets their own part, and is told what is missing.
	if t.Failed() {
		return
	}
	c.succeeds("", "", "logout")
	c.fails(exitFailed, "adit login URL", "", "support-bundle", "-f", file)
}

// sessionToken is the token that login kept.
func (c commandLine) sessionToken() string {
	c.t.Helper()
	s, err := (&app{configDir: c.dir}).loadSession()
	if err != nil || s.Token == "" {
		c.t.Fatalf("%+v, %v", s, err)
	}
	return s.Token
}
