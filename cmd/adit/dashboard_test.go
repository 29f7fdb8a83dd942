package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// greeting is added to the example template for its second version.
const greeting = `
data "adit_parameter" "greeting" {
  name         = "greeting"
  display_name = "Greeting"
  default      = "hello"
  mutable      = true
}

resource "adit_script" "greet" {
  agent_id     = adit_agent.main.id
  name         = "greet"
  run_on       = "start"
  blocks_login = true
  script       = "echo '${data.adit_parameter.greeting.value}' | tee $HOME/greeting"
}
`

const web = "../../coordinator/dashboard/web"

// The dashboard in Chromium, from the first user to the last workspace: what is
// done there, and what has to hold of every page, is in web/test.
func TestDashboard(t *testing.T) {
	if _, err := os.Stat(web + "/node_modules"); err != nil {
		t.Skip("the dashboard is not built; make dashboard does it")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium")
	}
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform")
	}
	addr := freeAddr(t)
	_, lines := startBinary(t, addr, "--provisioners", "2",
		"--github-client-id", "nobody", "--github-client-secret", "none", "--github-allow-everybody")
	ready(t, lines)
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	first, second := filepath.Join(t.TempDir(), "process"), filepath.Join(t.TempDir(), "process")
	for _, dir := range []string{first, second} {
		if out, err := exec.Command(bin, "templates", "init", "process", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(second, "greeting.tf"), []byte(greeting), 0o600); err != nil {
		t.Fatal(err)
	}
	config := t.TempDir()
	t.Cleanup(func() { // what a test that failed has left: no process stays
		login := exec.Command(bin, "login", "http://"+addr, "--username", "alice", "--password-stdin")
		login.Stdin = strings.NewReader("correct horse battery\n")
		remove := exec.Command(bin, "delete", "-y", "dev")
		for _, cmd := range []*exec.Cmd{login, remove} {
			cmd.Env = append(os.Environ(), "ADIT_CONFIG_DIR="+config)
			if out, err := cmd.CombinedOutput(); err != nil && t.Failed() {
				t.Logf("%v: %s", err, out)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	// As any browser of a person who has a home of their own.
	node := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", "test/dashboard.test.mjs")
	node.Dir = web
	node.Env = append(os.Environ(), "ADIT_URL=http://"+addr, "ADIT="+bin, "ADIT_CONFIG_DIR="+t.TempDir(), "CHROMIUM="+chromium,
		"ADIT_TEMPLATE="+first, "ADIT_TEMPLATE_2="+second, "HOME="+t.TempDir())
	node.WaitDelay = 5 * time.Second // what it started may outlive it
	start := time.Now()
	out, err := node.CombinedOutput()
	t.Logf("in %v:\n%s", time.Since(start).Round(time.Second), out)
	if err != nil {
		t.Fatal(errors.Join(err, ctx.Err()))
	}
}

// ready waits until a server says that it is.
func ready(t *testing.T, lines chan string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatal("the server ended before it was ready")
			}
			if strings.Contains(line, "adit server ready") {
				go func() {
					for range lines { // what else it says is not kept
					}
				}()
				return
			}
		case <-timeout:
			t.Fatalf("the server is not ready within %v", patience)
		}
	}
}
