package task

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// repository makes a directory with a file in it.
func repository(t *testing.T, file, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func said(f Found) string {
	var b strings.Builder
	for _, w := range f.Warnings {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

func TestGitpod(t *testing.T) {
	f := Load(repository(t, ".gitpod.yml", `
image: gitpod/workspace-full
tasks:
  - name: web
    before: export COLOUR=blue
    init: |
      npm install
    command: npm start
    env: { NODE_ENV: development, PORT: 3000 }
  - command: make watch
    openMode: split-right
ports:
  - port: 3000
    name: site
    onOpen: open-browser
    visibility: public
    protocol: http
  - port: 9000-9010
    onOpen: ignore
vscode:
  extensions: [golang.go]
`))
	if said(f) != "" {
		t.Fatal(said(f))
	}
	tasks := []Task{
		{Name: "web", Before: "export COLOUR=blue", Init: "npm install\n", Command: "npm start", Env: map[string]string{"NODE_ENV": "development", "PORT": "3000"}},
		{Name: "task 2", Command: "make watch"},
	}
	ports := []Port{
		{First: 3000, Last: 3000, Name: "site", OnOpen: "open-browser", Visibility: "public", Protocol: "http"},
		{First: 9000, Last: 9010, OnOpen: "ignore"},
	}
	if !reflect.DeepEqual(f.Tasks, tasks) || !reflect.DeepEqual(f.Ports, ports) || f.File != ".gitpod.yml" {
		t.Errorf("%+v", f)
	}
}

// What is wrong is said with its line, and the rest is used.
func TestWhatIsWrongIsSaidWithItsLine(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		tasks            int
		want             []string
	}{
		{"no YAML", ".gitpod.yml", "tasks:\n  - init: [\n", 0, []string{".gitpod.yml:2: it is no YAML"}},
		{"tabs", ".gitpod.yml", "tasks:\n\t- init: x\n", 0, []string{".gitpod.yml:2: it is no YAML"}},
		{"a list", ".gitpod.yml", "- a\n", 0, []string{".gitpod.yml:1: want names with values, got a list"}},
		{"tasks that are none", ".gitpod.yml", "# mine\ntasks: make\n", 0, []string{`.gitpod.yml:2: tasks: want a list, got "make"`}},
		{"one bad task of two", ".gitpod.yml", "tasks:\n- init: {a: b}\n  command: x\n- command: y\n", 1,
			[]string{".gitpod.yml:2: task 1, init: want text, got names with values", ".gitpod.yml:2: task 1 is left out"}},
		{"a slip of the pen", ".gitpod.yml", "tasks:\n- comand: x\n", 0, []string{`.gitpod.yml:2: task 1: there is no "comand"`}},
		{"twice", ".gitpod.yml", "tasks:\n- command: x\n  command: y\n", 0, []string{".gitpod.yml:3: task 1: command is there twice"}},
		{"an alias", ".gitpod.yml", "x: &x rm\ntasks:\n- command: *x\n", 0, []string{".gitpod.yml:3: task 1: command is an alias"}},
		{"a variable", ".gitpod.yml", "tasks:\n- command: x\n  env:\n    a-b: c\n", 0, []string{`.gitpod.yml:4: task 1, env: "a-b" is no name`}},
		{"a port", ".gitpod.yml", "ports:\n- port: 99999\n- port: 80\n  onOpen: shout\n", 0,
			[]string{`.gitpod.yml:2: port "99999": want one from 1 to 65535`, `.gitpod.yml:4: port, onOpen: "shout" is none of notify`}},
		{"too long", ".gitpod.yml", "# " + strings.Repeat("x", maxFile), 0, []string{".gitpod.yml: it is longer than 64 KiB"}},
		{"too many", ".gitpod.yml", "tasks:\n" + strings.Repeat("- command: x\n", 40), maxTasks, []string{".gitpod.yml:34: tasks: there are 40, and at most 32 are used"}},
		{"an old devfile", "devfile.yaml", "schemaVersion: 1.0.0\n", 0, []string{`devfile.yaml:1: schemaVersion "1.0.0": want 2.x`}},
		{"no such command", "devfile.yaml", "schemaVersion: 2.2.0\nevents:\n  postStart:\n  - build\n", 0, []string{`devfile.yaml:4: there is no command "build"`}},
		{"for itself", "devfile.yaml", "schemaVersion: 2.2.0\ncommands:\n- id: a\n  composite: {commands: [a, a, a, a]}\nevents:\n  postStart: [a]\n", 0, []string{`devfile.yaml:6: command "a" stands for too many others, or for itself`}},
		{"outside", "devfile.yaml", "schemaVersion: 2.2.0\ncommands:\n- id: a\n  exec: {commandLine: x, workingDir: ../..}\n", 0, []string{`devfile.yaml:4: workingDir "../..": want a directory of the repository`}},
	} {
		f := Load(repository(t, c.file, c.text))
		for _, want := range c.want {
			if !strings.Contains(said(f), want) {
				t.Errorf("%s: %q is not in\n%s", c.name, want, said(f))
			}
		}
		if len(f.Tasks) != c.tasks || len(f.Warnings) > maxWarnings {
			t.Errorf("%s: %d tasks and %d warnings", c.name, len(f.Tasks), len(f.Warnings))
		}
	}
}

// A file that is a link to one elsewhere, or a pipe, is none.
func TestAFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	outside := repository(t, "file", "tasks:\n- command: x\n")
	if err := os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, ".gitpod.yml")); err != nil {
		t.Fatal(err)
	}
	if f := Load(dir); len(f.Tasks) != 0 || !strings.Contains(said(f), "escapes") {
		t.Errorf("%+v", f)
	}
	if f := Load(t.TempDir()); f.File != "" || len(f.Warnings) != 0 {
		t.Errorf("of an empty repository: %+v", f)
	}
	if f := Load(filepath.Join(dir, "none")); len(f.Warnings) != 1 {
		t.Errorf("of none: %+v", f)
	}
}

func TestDevfile(t *testing.T) {
	f := Load(repository(t, "devfile.yaml", `
schemaVersion: 2.2.2
metadata: { name: app }
components:
  - name: tools
    container:
      image: quay.io/devfile/universal-developer-image
      endpoints:
        - { name: web, targetPort: 8080, exposure: public, protocol: https }
        - { name: debug, targetPort: 5005, exposure: none }
commands:
  - id: deps
    exec: { component: tools, commandLine: go mod download, workingDir: "${PROJECT_SOURCE}/api", env: [{ name: GOFLAGS, value: -mod=mod }] }
  - id: gen
    exec: { component: tools, commandLine: make generate }
  - id: all
    composite: { commands: [deps, gen] }
  - id: image
    apply: { component: tools }
events:
  postStart: [all]
`))
	if said(f) != "" {
		t.Fatal(said(f))
	}
	tasks := []Task{
		{Name: "deps", Before: "go mod download", Dir: "api", Env: map[string]string{"GOFLAGS": "-mod=mod"}},
		{Name: "gen", Before: "make generate", After: "deps"},
	}
	if !reflect.DeepEqual(f.Tasks, tasks) || !reflect.DeepEqual(f.Ports, []Port{{First: 8080, Last: 8080, Name: "web", Protocol: "https"}}) {
		t.Errorf("%+v", f)
	}
	scripts := f.Scripts("/src", "app: ")
	if len(scripts) != 2 || scripts[1].RunAfter[0] != "app: deps" || scripts[0].Service {
		t.Errorf("%+v", scripts)
	}
}

// A task's init runs once a clone, if it succeeds; before runs each time and in the
// same shell as what follows it.
func TestInitRunsOnceAClone(t *testing.T) {
	dir := repository(t, ".gitpod.yml", `
tasks:
- name: it's "mine"
  before: export SAY="a b's"
  init: echo init $SAY >> log; [ -e ready ]
  command: echo command $SAY >> log   # and no more
`)
	run := func() (names []string) {
		for _, s := range Load(dir).Scripts(dir, "r: ") {
			file := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(file, []byte(s.Script), 0o700); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("sh", "-c", file).CombinedOutput()
			names = append(names, fmt.Sprint(s.Name, " ", s.RunAfter, " ", s.Service, " ", err == nil))
			if len(out) > 0 {
				t.Errorf("%s said %s", s.Name, out)
			}
			if err != nil {
				break
			}
		}
		return names
	}
	if got := run(); !reflect.DeepEqual(got, []string{`r: it's "mine" [] false false`}) {
		t.Errorf("an init that fails: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(); !reflect.DeepEqual(got, []string{`r: it's "mine" [] false true`, `r: it's "mine": command [r: it's "mine"] true true`}) {
		t.Errorf("the next start: %q", got)
	}
	if got := run(); !reflect.DeepEqual(got, []string{`r: it's "mine" [] true true`}) {
		t.Errorf("the one after: %q", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if want := "init a b's\ninit a b's\ncommand a b's\ncommand a b's\n"; err != nil || string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
}

// Whatever a file is, reading it ends, stays within bounds, and every warning has a
// line of the file.
func FuzzLoad(f *testing.F) {
	f.Add("tasks:\n- init: a\n  command: b\nports:\n- port: 80-90\n", true)
	f.Add("schemaVersion: 2.0.0\ncommands:\n- id: a\n  composite: {commands: [a]}\nevents: {postStart: [a]}\n", false)
	f.Add("a: &a [*a]\n? {}\n: x\n", true)
	f.Fuzz(func(t *testing.T, text string, gitpod bool) {
		if len(text) > maxFile {
			return
		}
		read := readDevfile
		if gitpod {
			read = readGitpod
		}
		found := read("f", []byte(text))
		if len(found.Tasks) > maxTasks || len(found.Ports) > maxPorts || len(found.Warnings) > maxWarnings {
			t.Errorf("%d tasks, %d ports, %d warnings", len(found.Tasks), len(found.Ports), len(found.Warnings))
		}
		for _, w := range found.Warnings {
			if w.Line < 0 || w.Line > strings.Count(text, "\n")+2 {
				t.Errorf("%v of %d lines", w, strings.Count(text, "\n"))
			}
		}
		names := make(map[string]bool)
		for _, s := range found.Scripts("/nowhere", "") {
			if names[s.Name] {
				t.Errorf("two scripts are called %q", s.Name)
			}
			names[s.Name] = true
		}
	})
}
