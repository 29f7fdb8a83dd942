// Package forgetest serves a real git repository to tests, as a forge does, and posts
// as one.
package forgetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Repository is a repository on the loopback. Its methods are for the test's goroutine.
type Repository struct {
	// URL is where it is fetched from.
	URL   string
	t     testing.TB
	dir   string
	asked atomic.Int64
	want  atomic.Pointer[string] // what Authorization has to be; nil is anything
}

// Serve serves a repository with nothing on its branch main until the test ends.
func Serve(t testing.TB) *Repository {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := &Repository{t: t, dir: filepath.Join(t.TempDir(), "repository")}
	r.Git("init", "--quiet", "--initial-branch", "main", r.dir)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"},
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		if want := r.want.Load(); want != nil && req.Header.Get("Authorization") != *want {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	t.Cleanup(web.Close)
	r.URL = web.URL + "/repository/.git"
	return r
}

// Asked is how many requests there were.
func (r *Repository) Asked() int64 { return r.asked.Load() }

// Want has it answer those alone who show this as Authorization.
func (r *Repository) Want(authorization string) { r.want.Store(&authorization) }

// Dir is its work tree.
func (r *Repository) Dir() string { return r.dir }

// Git runs git in the repository.
func (r *Repository) Git(argv ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=alice", "-c", "user.email=alice@example.com"}, argv...)...)
	if _, err := os.Stat(r.dir); err == nil {
		cmd.Dir = r.dir
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Write writes a file into the work tree.
func (r *Repository) Write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// Commit commits all that is in the work tree, and returns the commit's id.
func (r *Repository) Commit(message string) string {
	r.t.Helper()
	r.Git("add", "--all")
	r.Git("commit", "--quiet", "--allow-empty", "-m", message)
	return r.Git("rev-parse", "HEAD")
}

// Push is what GitHub, and Gitea, post after a push to a branch.
func Push(ctx context.Context, url, branch, secret string) (*http.Request, error) {
	body := []byte(`{"ref":"refs/heads/` + branch + `","after":"1111111111111111111111111111111111111111","deleted":false,"commits":[{}]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	return req, nil
}
