package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aditmesh/adit/agent/task"
	"github.com/aditmesh/adit/pkg/sdk"
)

// TestMain also is git's helper, as adit is: git runs it with the name of its
// command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "git-credential" {
		if err := Help(context.Background(), os.Args[3], os.Args[4], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// forge is a real git server: git's own, behind HTTP with passwords.
type forge struct {
	t        *testing.T
	root     string
	url      string
	password string       // of everybody; empty lets all in
	down     atomic.Int32 // how many requests are answered with 503
	asked    atomic.Int32
}

func newForge(t *testing.T, password string) *forge {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("there is no git: ", err)
	}
	out, err := exec.Command(git, "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{t: t, root: t.TempDir(), password: password}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + f.root, "GIT_HTTP_EXPORT_ALL=1"}, InheritEnv: []string{"PATH"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		if f.down.Add(-1) >= 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		if _, password, _ := r.BasicAuth(); password != f.password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// git runs git in a directory and returns what it says.
func (f *forge) git(dir string, args ...string) string {
	f.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_ALLOW_PROTOCOL=file:http")
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// repository makes one with files, a commit each way of adding them, and returns
// its URL and the commits.
func (f *forge) repository(name string, commits ...map[string]string) (string, []string) {
	f.t.Helper()
	work := f.t.TempDir()
	f.git(work, "init", "-q", "-b", "main")
	var ids []string
	for i, files := range commits {
		for file, text := range files {
			path := filepath.Join(work, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				f.t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				f.t.Fatal(err)
			}
		}
		f.git(work, "add", ".")
		f.git(work, "commit", "-qm", fmt.Sprint("commit ", i))
		ids = append(ids, f.git(work, "rev-parse", "HEAD"))
	}
	f.publish(work, name)
	return f.url + "/" + name + ".git", ids
}

func (f *forge) publish(work, name string) {
	bare := filepath.Join(f.root, name+".git")
	f.git(work, "clone", "-q", "--bare", work, bare)
	f.git(bare, "config", "uploadpack.allowReachableSHA1InWant", "true")
}

// log is what a step says.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) say(level, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+": "+line)
}

func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.lines, "\n"), text)
}

// environment is one without the settings of whoever runs the tests.
func environment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_SYSTEM=/dev/null"}
}

func (f *forge) config(home string, repos ...sdk.Repository) Config {
	return Config{Repositories: repos, Home: home, Env: environment(home), RetryAfter: 5 * time.Millisecond}
}

// do does all steps and returns the scripts found and the first error.
func do(ctx context.Context, cfg Config, l *log) (scripts []sdk.Script, err error) {
	for _, s := range Steps(cfg) {
		found, e := s.Do(ctx, l.say)
		scripts, err = append(scripts, found...), errors.Join(err, e)
	}
	return scripts, err
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestClone(t *testing.T) {
	f := newForge(t, "")
	url, ids := f.repository("app", map[string]string{"file": "one"}, map[string]string{"file": "two"}, map[string]string{
		"file": "three", ".gitpod.yml": "tasks:\n- name: t\n  command: make\n- name: 7\n  comand: x\nports:\n- port: 80\n"})
	for _, c := range []struct {
		name    string
		repo    sdk.Repository
		want    string
		commits string
	}{
		{"whole", sdk.Repository{}, "three", "3"},
		{"shallow", sdk.Repository{Depth: 1}, "three", "1"},
		{"a branch", sdk.Repository{Ref: "main", Depth: 2}, "three", "2"},
		{"a commit", sdk.Repository{Ref: ids[1]}, "two", "2"},
		{"a commit, shallow", sdk.Repository{Ref: ids[0], Depth: 1}, "one", "1"},
		{"elsewhere", sdk.Repository{Directory: "~/code/x"}, "three", "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			c.repo.URL = url
			var ports []task.Port
			cfg := f.config(home, c.repo)
			cfg.Ports = func(p []task.Port) { ports = p }
			var l log
			scripts, err := do(t.Context(), cfg, &l)
			if err != nil {
				t.Fatal(err, l.lines)
			}
			dir := filepath.Join(home, "app")
			if c.repo.Directory != "" {
				dir = filepath.Join(home, "code/x")
			}
			if got := read(t, dir, "file"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if n := f.git(dir, "rev-list", "--count", "HEAD"); n != c.commits {
				t.Errorf("%s commits, want %s", n, c.commits)
			}
			if c.want == "three" && (len(scripts) != 1 || scripts[0].Name != filepath.Base(dir)+": t: command" && scripts[0].Name != filepath.Base(dir)+": t" || len(ports) != 1 || !l.has("warn: .gitpod.yml:5: task 2: there is no \"comand\"")) {
				t.Errorf("%+v, %v, %q", scripts, ports, l.lines)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"+unfinished+"*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestSubmodules(t *testing.T) {
	f := newForge(t, "")
	inner, _ := f.repository("inner", map[string]string{"in": "x"})
	work := t.TempDir()
	f.git(work, "init", "-q", "-b", "main")
	f.git(work, "submodule", "--quiet", "add", inner, "sub")
	f.git(work, "commit", "-qm", "outer")
	f.publish(work, "outer")
	home := t.TempDir()
	var l log
	if _, err := do(t.Context(), f.config(home, sdk.Repository{URL: f.url + "/outer.git", Submodules: true, Depth: 1}), &l); err != nil {
		t.Fatal(err, l.lines)
	}
	if read(t, home, "outer/sub/in") != "x" || f.git(filepath.Join(home, "outer/sub"), "status", "--porcelain") != "" {
		t.Error("the submodule is not whole")
	}
}

// What somebody works on is theirs, however the agent comes and goes.
func TestNothingIsOverwritten(t *testing.T) {
	f := newForge(t, "")
	url, _ := f.repository("app", map[string]string{"file": "theirs"})
	home := t.TempDir()
	cfg := f.config(home, sdk.Repository{URL: url})
	var l log
	if _, err := do(t.Context(), cfg, &l); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "app/file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := f.asked.Load()
	if _, err := do(t.Context(), cfg, &l); err != nil || read(t, file) != "mine" || f.asked.Load() != asked || !l.has("stays as it is") {
		t.Errorf("%v, %q, asked again %d times", err, read(t, file), f.asked.Load()-asked)
	}
	if err := os.RemoveAll(filepath.Join(home, "app/.git")); err != nil {
		t.Fatal(err)
	}
	if _, err := do(t.Context(), cfg, &l); err == nil || read(t, file) != "mine" || !strings.Contains(err.Error(), "no clone") {
		t.Errorf("a directory with files: %v", err)
	}
	// An agent that was killed has left this.
	left := filepath.Join(home, ".app"+unfinished+"123")
	if err := errors.Join(os.MkdirAll(filepath.Join(left, "clone"), 0o700), os.RemoveAll(filepath.Join(home, "app")), os.Mkdir(filepath.Join(home, "app"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := do(t.Context(), cfg, &l); err != nil || read(t, file) != "theirs" {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what was unfinished is still there")
	}
}

func TestAForgeThatIsBusyIsAskedAgain(t *testing.T) {
	f := newForge(t, "")
	url, _ := f.repository("app", map[string]string{"file": "x"})
	f.down.Store(2)
	home := t.TempDir()
	var l log
	if _, err := do(t.Context(), f.config(home, sdk.Repository{URL: url}), &l); err != nil || read(t, home, "app/file") != "x" || !l.has("warn: try 2 of 5 failed") {
		t.Errorf("%v, %q", err, l.lines)
	}
	f.down.Store(1000)
	if _, err := do(t.Context(), f.config(t.TempDir(), sdk.Repository{URL: url}), &l); err == nil || !strings.Contains(err.Error(), "503") || f.down.Load() < 900 {
		t.Errorf("one that stays busy: %v", err)
	}
	f.down.Store(0)
	before := f.asked.Load()
	for _, repo := range []sdk.Repository{{URL: f.url + "/none.git"}, {URL: url, Ref: "no-such-branch"}} {
		if _, err := do(t.Context(), f.config(t.TempDir(), repo), &l); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("%+v: %v", repo, err)
		}
	}
	if n := f.asked.Load() - before; n > 6 {
		t.Errorf("what is not there was asked for %d times", n)
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	f := newForge(t, "")
	for _, repo := range []sdk.Repository{
		{URL: "--upload-pack=touch /tmp/x"}, {URL: "ext::sh -c true"}, {URL: "file:///etc"}, {URL: "/etc"}, {URL: "https://"}, {URL: "-oProxyCommand=x@y:z"},
		{URL: f.url + "/x", Ref: "--exec=x"}, {URL: f.url + "/x", Ref: "a b"}, {URL: f.url + "/" + strings.Repeat("x", 4096)},
	} {
		before := f.asked.Load()
		if _, err := do(t.Context(), f.config(t.TempDir(), repo), &log{}); err == nil || f.asked.Load() != before {
			t.Errorf("%.50q: %v", repo.URL, err)
		}
	}
}

// keeper has the credentials of one origin.
type keeper struct {
	secret sdk.GitSecret
	asked  atomic.Int32

	mu     sync.Mutex
	origin string
}

func (k *keeper) moveTo(origin string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.origin = origin
}

func (k *keeper) AgentGitCredential(_ context.Context, origin string) (sdk.GitSecret, error) {
	k.asked.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if origin != k.origin {
		return sdk.GitSecret{}, &sdk.Error{Status: http.StatusNotFound, Detail: "no credential for " + origin}
	}
	return k.secret, nil
}

// A private repository is fetched, and pushed to from a session, with what the
// coordinator keeps; nothing of it is left in any file.
func TestPrivateRepositories(t *testing.T) {
	f := newForge(t, "hunter2 & co")
	url, _ := f.repository("app", map[string]string{"file": "secret"})
	f.git(filepath.Join(f.root, "app.git"), "config", "http.receivepack", "true")
	k := &keeper{origin: f.url, secret: sdk.GitSecret{Username: "alice", Password: f.password}}
	c, err := Serve(k, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cfg := f.config(home, sdk.Repository{URL: url})
	cfg.Env = c.Env(cfg.Env, self)
	var l log
	if _, err := do(t.Context(), cfg, &l); err != nil {
		t.Fatal(err, l.lines)
	}
	dir := filepath.Join(home, "app")
	for _, args := range [][]string{{"checkout", "-qb", "mine"}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"}, {"push", "-q", "origin", "mine"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = dir, append(slices.Clone(cfg.Env), "GIT_TERMINAL_PROMPT=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	f.git(filepath.Join(f.root, "app.git"), "rev-parse", "mine")
	err = filepath.WalkDir(home, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("hunter2")) {
				t.Errorf("the password is in %s", path)
			}
		}
		return err
	})
	if err != nil || l.has("hunter2") || k.asked.Load() == 0 {
		t.Errorf("%v, %q", err, l.lines)
	}

	// Another origin gets nothing, and says what to do.
	k.moveTo("https://example.com")
	l = log{}
	cfg.Home = t.TempDir()
	before := f.asked.Load()
	if _, err := do(t.Context(), cfg, &l); err == nil || !l.has("adit: no credential for "+f.url) || f.asked.Load()-before > 2 {
		t.Errorf("%v, %q", err, l.lines)
	}
	if info, err := os.Stat(filepath.Dir(c.Socket())); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's directory: %v, %v", info.Mode(), err)
	}
}

func TestDotfiles(t *testing.T) {
	f := newForge(t, "")
	url, _ := f.repository("dots", map[string]string{"install.sh": "#!/bin/sh\necho set up >> $HOME/log; [ -e $HOME/ready ]\n"})
	home := t.TempDir()
	cfg := f.config(home)
	cfg.Dotfiles = &sdk.Dotfiles{URL: url}
	var l log
	if _, err := do(t.Context(), cfg, &l); err == nil || read(t, home, "log") != "set up\n" {
		t.Errorf("an installer that fails: %v, %q", err, l.lines)
	}
	if err := os.WriteFile(filepath.Join(home, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once is enough
		if _, err := do(t.Context(), cfg, &l); err != nil || read(t, home, "log") != "set up\nset up\n" {
			t.Errorf("%v, %q, %q", err, read(t, home, "log"), l.lines)
		}
	}
	// They change, which is fetched and set up.
	work := filepath.Join(t.TempDir(), "w")
	f.git(home, "clone", "-q", filepath.Join(f.root, "dots.git"), work)
	f.git(work, "commit", "-q", "--allow-empty", "-m", "more")
	f.git(work, "push", "-q", "origin", "main")
	if _, err := do(t.Context(), cfg, &l); err != nil || read(t, home, "log") != "set up\nset up\nset up\n" {
		t.Errorf("%v, %q, %q", err, read(t, home, "log"), l.lines)
	}
	if err := os.WriteFile(filepath.Join(home, ".dotfiles/install.sh"), []byte("mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := do(t.Context(), cfg, &l); err != nil || read(t, home, ".dotfiles/install.sh") != "mine" || !l.has("changes of your own") {
		t.Errorf("%v, %q", err, l.lines)
	}
}

func TestDotfilesWithoutAnInstallerAreLinked(t *testing.T) {
	f := newForge(t, "")
	url, _ := f.repository("dots", map[string]string{".vimrc": "theirs", ".bashrc": "theirs", "README": "", ".gitignore": ""})
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".bashrc"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := f.config(home)
	cfg.Dotfiles = &sdk.Dotfiles{URL: url}
	var l log
	if _, err := do(t.Context(), cfg, &l); err != nil {
		t.Fatal(err, l.lines)
	}
	if read(t, home, ".vimrc") != "theirs" || read(t, home, ".bashrc") != "mine" {
		t.Error("a file was overwritten, or none was linked")
	}
	if _, err := os.Lstat(filepath.Join(home, ".gitignore")); err == nil {
		t.Error("what is about the repository itself was linked, too")
	}
}

// An agent that ends does not wait for a clone.
func TestAStepEndsWithItsContext(t *testing.T) {
	f := newForge(t, "")
	url, _ := f.repository("app", map[string]string{"file": "x"})
	ctx, cancel := context.WithCancel(t.Context())
	f.down.Store(1 << 20)
	cfg := f.config(t.TempDir(), sdk.Repository{URL: url})
	cfg.RetryAfter = time.Hour
	done := make(chan error, 1)
	l := &log{}
	go func() {
		_, err := do(ctx, cfg, l)
		done <- err
	}()
	for end := time.Now().Add(20 * time.Second); !l.has("try 1 of 5") && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}
