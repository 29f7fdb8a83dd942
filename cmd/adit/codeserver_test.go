package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// code-server, as npm has it, in the browser by its dev URL: its editor, its files and
// its terminal, which are WebSockets and much else.
func TestCodeServerInTheBrowser(t *testing.T) {
	editor, err := exec.LookPath("code-server")
	if err != nil {
		t.Skip("there is no code-server; npm install -g code-server has it")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium")
	}
	if _, err := os.Stat(web + "/node_modules"); err != nil {
		t.Skip("the dashboard is not built; make dashboard does it")
	}
	d := newDeployment(t, "--wildcard-url", "http://*.apps.test:7080")
	d.laptop, d.devbox = d.lab.Host("laptop"), d.lab.Host("devbox")
	d.up()
	project := filepath.Join(d.dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(project, "hello.txt")
	if err := os.WriteFile(file, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := d.run(d.devbox, "code-server.log", d.program(d.devbox, editor, "--auth", "none", "--bind-addr", "127.0.0.1:13337",
		"--disable-telemetry", "--disable-update-check", "--disable-workspace-trust", project))
	run.waitFor("HTTP server listening")

	cmd := d.program(d.laptop, "node", "test/codeserver.mjs", "http://13337--main--dev--alice.apps.test:7080/?folder="+project,
		"hello.txt", "typed in a browser", "tr a-z A-Z < hello.txt > made-there", d.server.Addr().String())
	cmd.Env, cmd.Dir = append(d.env(), "CHROMIUM="+chromium, "ADIT_PICTURES="+os.Getenv("ADIT_PICTURES")), web
	if out, err := d.output(d.laptop, cmd); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "typed in a browser") {
		t.Errorf("the file is %q, %v", text, err)
	}
	d.eventually("what the terminal's command wrote", func() bool {
		text, err := os.ReadFile(filepath.Join(project, "made-there"))
		return err == nil && strings.Contains(string(text), "TYPED IN A BROWSER")
	})
}
