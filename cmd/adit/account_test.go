package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

// commandLine runs commands in this process, as one user with one
// configuration.
type commandLine struct {
	t   *testing.T
	dir string
}

// run runs a command and returns what it wrote and its exit code.
func (c commandLine) run(stdin string, args ...string) (out, errOut string, code int) {
	c.t.Helper()
	var o, e bytes.Buffer
	code = run(c.t.Context(), streams{in: strings.NewReader(stdin), out: &o, err: &e}, append(args, "--config-dir", c.dir))
	return o.String(), e.String(), code
}

// succeeds runs a command that must, and whose output must hold text.
func (c commandLine) succeeds(text, stdin string, args ...string) string {
	c.t.Helper()
	out, errOut, code := c.run(stdin, args...)
	if code != 0 || !strings.Contains(out, text) {
		c.t.Fatalf("adit %s: exit %d, %q, %q; want %q", strings.Join(args, " "), code, out, errOut, text)
	}
	return out
}

// fails runs a command that must fail with a code and one line that says why
// and what to try.
func (c commandLine) fails(code int, says, stdin string, args ...string) {
	c.t.Helper()
	out, errOut, got := c.run(stdin, args...)
	first, rest, _ := strings.Cut(errOut, "\n")
	if got != code || !strings.Contains(first, says) || out != "" {
		c.t.Errorf("adit %s: exit %d, %q, %q; want exit %d and %q", strings.Join(args, " "), got, out, errOut, code, says)
	}
	if code == exitFailed && rest != "" {
		c.t.Errorf("adit %s: more than one line: %q", strings.Join(args, " "), errOut)
	}
}

// serve runs "adit server" until the test ends and returns its URL.
func serve(t *testing.T, more ...string) string {
	t.Helper()
	return serveBy(t, func(ctx context.Context, s streams, dir string) int {
		return run(ctx, s, append([]string{"server", "--listen", "127.0.0.1:0", "--data-dir", dir, "--relay=false"}, more...))
	})
}

// serveBy runs a server with a data directory until the test ends and returns its
// URL.
func serveBy(t *testing.T, server func(ctx context.Context, s streams, dir string) (exit int)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adit-account-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that runs Postgres
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var errOut bytes.Buffer
	read, out := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- server(ctx, streams{in: strings.NewReader(""), out: out, err: &errOut}, dir)
		out.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("the server ended with %d: %s", code, &errOut)
		}
		os.RemoveAll(dir)
	})
	line, err := bufio.NewReader(read).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "ready at ")
	if err != nil || !ok {
		t.Fatalf("the server says %q, %v", line, err)
	}
	return url
}

func TestAccountAndWorkspaces(t *testing.T) {
	for _, name := range []string{"ADIT_URL", "ADIT_TOKEN", "ADIT_LISTEN", "ADIT_DATA_DIR", "ADIT_POSTGRES_URL"} {
		t.Setenv(name, "")
	}
	url := serve(t)
	c := commandLine{t, filepath.Join(t.TempDir(), "config")}
	login := func(more ...string) []string {
		return append([]string{"login", url, "--username", "alice", "--password-stdin"}, more...)
	}

	c.fails(exitFailed, "adit login URL", "", "list")
	c.fails(exitFailed, "--first-user", "correct horse\n", login()...)
	c.fails(exitUsage, "--email", "correct horse\n", login("--first-user")...)
	c.fails(exitFailed, "password", "short\n", login("--first-user", "--email", "alice@example.com")...)
	c.succeeds("Signed in", "correct horse\n", login("--first-user", "--email", "alice@example.com")...)
	c.fails(exitFailed, "already has users", "correct horse\n", login("--first-user", "--email", "alice@example.com")...)
	c.fails(exitFailed, "wrong user name or password", "incorrect\n", login()...)
	if info, err := os.Stat(filepath.Join(c.dir, "session.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("session: %v, %v, want a file for its owner alone", info, err)
	}

	c.succeeds("No workspaces yet", "", "list")
	var made sdk.CreatedWorkspace
	if err := json.Unmarshal([]byte(c.succeeds("", "", "create", "dev", "--external", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.AgentToken, "adit_agent_") || !strings.Contains(made.AgentCommand, url) {
		t.Errorf("made %+v", made)
	}
	c.fails(exitFailed, "another name", "", "create", "dev", "--external")
	c.fails(exitFailed, "name:", "", "create", "De v", "--external")
	c.succeeds("alice/dev", "", "list")
	c.succeeds("connecting", "", "show", "alice/dev.main")
	c.fails(exitFailed, "adit list", "", "show", "none")
	c.fails(exitUsage, "OWNER/WS", "", "show", "a/b/c")

	token := strings.TrimSpace(c.succeeds("adit_", "", "tokens", "create", "ci", "--lifetime", "1h"))
	stranger := commandLine{t, t.TempDir()}
	stranger.succeeds("alice/dev", "", "list", "--url", url, "--token", token)
	var tokens []sdk.Token
	if err := json.Unmarshal([]byte(c.succeeds("", "", "tokens", "list", "-o", "json")), &tokens); err != nil {
		t.Fatal(err)
	}
	for _, tok := range tokens {
		if tok.Name == "ci" {
			c.succeeds("", "", "tokens", "delete", tok.ID)
		}
	}
	stranger.fails(exitFailed, "adit login URL", "", "list", "--url", url, "--token", token)
	stranger.fails(exitFailed, "adit login URL", "", "list", "--url", url, "--token", made.AgentToken)

	c.succeeds("", "", "delete", "dev")
	c.fails(exitFailed, "no workspace", "", "delete", "dev")
	c.succeeds("", "", "logout")
	c.fails(exitFailed, "adit login URL", "", "list")
}
