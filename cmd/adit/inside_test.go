package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// insideTemplate is a workspace with all that programs in it, and people, may ask of
// its agent.
const insideTemplate = `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}

data "adit_workspace" "me" {}

resource "adit_agent" "main" {
  name      = "main"
  directory = "app"
  repository { url = "http://127.0.0.1:8090/app.git" }
}

resource "adit_home" "main" {}

resource "adit_process" "main" {
  count    = data.adit_workspace.me.start_count
  agent_id = adit_agent.main.id
  token    = adit_agent.main.token
  home     = adit_home.main.path
}

resource "adit_script" "setup" {
  agent_id = adit_agent.main.id
  name     = "setup"
  run_on   = "start"
  script   = "echo set up"
}

resource "adit_app" "web" {
  agent_id              = adit_agent.main.id
  slug                  = "web"
  url                   = "http://localhost:8080/page"
  command               = "exec sleep 1000"
  healthcheck_url       = "http://localhost:8080/health"
  healthcheck_interval  = 1
  healthcheck_threshold = 1
}

resource "adit_app" "broken" {
  agent_id = adit_agent.main.id
  slug     = "broken"
  url      = "http://localhost:8081"
  command  = "echo no such luck; exit 3"
}

resource "adit_port" "docs" {
  agent_id = adit_agent.main.id
  port     = "9000"
  label    = "Docs"
  on_open  = "ignore"
}
`

// insideTasks is the file of the repository that it works on.
const insideTasks = `
tasks:
  - name: build
    init: echo built > built
    command: exec sleep 1000
ports:
  - port: 8080
    name: Preview
    onOpen: open-preview
    visibility: public
    protocol: http
  - port: 9000
    name: the template says otherwise
    onOpen: open-browser
  - port: 9001
    onOpen: ignore
`

// All that a workspace of a template is asked from within and from without, with the
// whole binary.
func TestAWorkspaceFromWithin(t *testing.T) {
	d := deployWithTemplate(t, "inside", insideTemplate)
	var ill atomic.Bool
	serveOn(t, d.server, "127.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "you are at "+r.URL.Path)
	}))
	serveOn(t, d.server, "127.0.0.1:8090", http.FileServer(http.Dir(bareRepository(t, map[string]string{".gitpod.yml": insideTasks}))))
	d.must("create", "dev", "--template", "inside")
	t.Cleanup(func() { _, _ = d.adit("delete", "-y", "dev") }) // no process stays, whatever happens
	self := func(into any, args ...string) {
		t.Helper()
		out := d.must("ssh", "dev", "--", d.bin+" self "+strings.Join(args, " ")+" -o json")
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatalf("self %s: %v in %s", strings.Join(args, " "), err, out)
		}
	}

	t.Run("tasks", func(t *testing.T) {
		d := d.in(t)
		d.eventually("how each is doing", func() bool {
			out := d.must("ssh", "dev", "--", d.bin+" self tasks")
			return lineWith(out, "setup", "succeeded") && lineWith(out, "app: build ", "succeeded") && lineWith(out, "app: build: command", "running") &&
				lineWith(out, "repository app", "succeeded")
		})
		if out := d.must("ssh", "dev", "--", "pwd; cat built"); !strings.HasSuffix(strings.TrimSpace(out), "/app\nbuilt") {
			t.Errorf("in the repository: %q", out)
		}
	})
	t.Run("environment", func(t *testing.T) {
		var env []string
		self(&env, "env")
		if !slices.Contains(env, "ADIT_WORKSPACE=dev") || !slices.Contains(env, "ADIT_OWNER=alice") || slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "ADIT_AGENT_") }) {
			t.Errorf("env: %q", env)
		}
	})
	t.Run("where things are", func(t *testing.T) {
		var coordinator, port string
		self(&coordinator, "url")
		self(&port, "url", "8080")
		if !strings.HasSuffix(coordinator, ":7080") || port != "http://main.dev.alice.adit:8080" {
			t.Errorf("the coordinator is %q, and the port %q", coordinator, port)
		}
	})
	t.Run("ports", func(t *testing.T) {
		d := d.in(t)
		preview := sdk.Port{Agent: "main", Network: "tcp", Port: 8080, Listening: true, Address: "127.0.0.1", Protocol: "http", Label: "Preview", OnOpen: "open", Visibility: "authenticated"}
		for from, ask := range map[string]func(*[]sdk.Port){
			"within":  func(list *[]sdk.Port) { self(list, "ports") },
			"without": func(list *[]sdk.Port) { d.json(list, "ports", "dev", "-o", "json") },
		} {
			d.eventually("what the repository says of ports, from "+from, func() bool {
				var list []sdk.Port
				ask(&list)
				return slices.ContainsFunc(list, func(p sdk.Port) bool {
					p.Process, p.PID = "", 0
					return p == preview
				})
			})
		}
		var list []sdk.Port
		d.json(&list, "ports", "dev", "-o", "json")
		for _, want := range []sdk.Port{
			{Agent: "main", Network: "tcp", Port: 9000, Protocol: "tcp", Label: "Docs", OnOpen: "ignore", Visibility: "owner"},
			{Agent: "main", Network: "tcp", Port: 9001, Protocol: "tcp", OnOpen: "ignore", Visibility: "owner"},
		} {
			if !slices.Contains(list, want) {
				t.Errorf("no %+v in %+v", want, list)
			}
		}
	})
	t.Run("apps", func(t *testing.T) {
		d := d.in(t)
		app := func(slug string) sdk.WorkspaceApp {
			var list []sdk.WorkspaceApp
			d.json(&list, "apps", "dev", "-o", "json")
			for _, a := range list {
				if a.Slug == slug {
					return a
				}
			}
			return sdk.WorkspaceApp{}
		}
		d.eventually("one that is well", func() bool { return app("web").State == sdk.AppHealthy })
		d.eventually("one that is not", func() bool {
			a := app("broken")
			return a.State == sdk.AppUnhealthy && strings.Contains(a.Why, "exit code 3, no such luck")
		})
		open := d.start(d.laptop, "open.log", "open", "dev", "web", "--print")
		link := open.waitFor("http://localhost:")
		if got := get(t, d.laptop, link); got != "you are at /page" {
			t.Errorf("%s says %q", link, got)
		}
		open.stop()
		ill.Store(true)
		d.eventually("it fell ill", func() bool { a := app("web"); return a.State == sdk.AppUnhealthy && strings.Contains(a.Why, "503") })
	})
	t.Run("editors", func(t *testing.T) {
		d := d.in(t)
		dir := strings.TrimSpace(d.must("ssh", "dev", "--", "pwd"))
		for editor, want := range map[string]string{
			"vscode": "vscode://vscode-remote/ssh-remote+dev.adit" + dir, "zed": "zed://ssh/adit@dev.adit" + dir, "jetbrains": "projectPath=" + strings.ReplaceAll(dir, "/", "%2F"),
		} {
			if out := d.must("open", "dev", editor, "--print"); !strings.Contains(out, want) {
				t.Errorf("%s: %q, want %q in it", editor, out, want)
			}
		}
	})
	t.Run("how long it runs", func(t *testing.T) {
		d := d.in(t)
		d.must("schedule", "dev", "--stop-after", "1h")
		var s sdk.Schedule
		self(&s, "extend", "5h")
		if s.StopsAt == nil || time.Until(*s.StopsAt) < 4*time.Hour {
			t.Errorf("it is to stop at %v", s.StopsAt)
		}
		var b sdk.Build
		self(&b, "stop")
		if b.Transition != "stop" {
			t.Errorf("the build: %+v", b)
		}
		d.eventually("it stops", func() bool {
			var w sdk.Workspace
			d.json(&w, "show", "dev", "-o", "json")
			return w.Phase == "stopped"
		})
	})
}

// lineWith reports whether a line of a text begins with one and has another in it.
func lineWith(text, first, other string) bool {
	return slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, first) && strings.Contains(line, other) })
}

// serveOn serves HTTP on a host until the test ends.
func serveOn(t *testing.T, h *netlab.Host, addr string, handler http.Handler) {
	t.Helper()
	var l net.Listener
	if err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }() // until it is closed
	t.Cleanup(func() { s.Close(); <-done })
}

// get returns what a URL answers on a host.
func get(t *testing.T, h *netlab.Host, link string) string {
	t.Helper()
	cmd := h.Command(t.Context(), "curl", "-sS", "--max-time", "20", link)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v", link, err)
	}
	return out.String()
}

// bareRepository makes app.git with files, for git to fetch from a file server, and
// returns where it is.
func bareRepository(t *testing.T, files map[string]string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git: ", err)
	}
	root := t.TempDir()
	work := filepath.Join(root, "work")
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q", work)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("-C", work, "add", ".")
	git("-C", work, "commit", "-q", "-m", "begin")
	git("clone", "-q", "--bare", work, "app.git")
	git("-C", "app.git", "update-server-info")
	return root
}
