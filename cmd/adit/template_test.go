package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// slowStart is added to the example template: a script that log-ins wait for,
// one that runs before the agent ends, and a parameter that must be given.
const slowStart = `
data "adit_parameter" "greeting" {
  name    = "greeting"
  mutable = true
}

resource "adit_script" "slow" {
  agent_id     = adit_agent.main.id
  name         = "slow"
  run_on       = "start"
  blocks_login = true
  script       = "sleep 2; echo '${data.adit_parameter.greeting.value}' > $HOME/greeting; echo done"
}

resource "adit_script" "bye" {
  agent_id = adit_agent.main.id
  name     = "bye"
  run_on   = "stop"
  script   = "echo goodbye"
}

resource "adit_script" "serve" {
  agent_id  = adit_agent.main.id
  name      = "serve"
  run_after = [adit_script.slow.name]
  service   = true
  script    = "cp $HOME/greeting $HOME/served && exec sleep 1000"
}

resource "adit_script" "nightly" {
  agent_id = adit_agent.main.id
  name     = "nightly"
  run_on   = "CRON_TZ=Europe/Berlin 0 4 * * *"
  script   = "true"
}
`

// A workspace's life, from the template that the binary carries to its end.
func TestWorkspaceFromATemplate(t *testing.T) {
	d := deployWithTemplate(t, "process", slowStart)

	if _, err := d.adit("create", "dev", "--template", "process"); err == nil || !strings.Contains(err.Error(), "--parameter greeting=STRING") {
		t.Errorf("a parameter is missing: %v", err)
	}
	var w sdk.Workspace
	d.json(&w, "create", "dev", "--template", "process", "--parameter", "greeting=hello", "-o", "json")
	t.Cleanup(func() { _, _ = d.adit("delete", "-y", "dev") }) // no process stays, whatever happens
	if w.Phase != "running" || w.External || len(w.Agents) != 1 {
		t.Errorf("made %+v", w)
	}
	if out := d.must("ssh", "dev", "--", "cat greeting; echo $ADIT_WORKSPACE"); out != "hello\ndev\n" {
		t.Errorf("ssh did not wait for the script: %q", out)
	}
	d.eventually("the script's log", func() bool {
		out, err := d.adit("logs", "dev")
		return err == nil && strings.Contains(out, "slow     done\n") && strings.Contains(out, "exit code 0") && strings.Contains(out, "Apply complete")
	})

	d.eventually("how each script is doing", func() bool {
		var runs []sdk.ScriptStatus
		d.json(&runs, "scripts", "dev", "-o", "json")
		state := make(map[string]sdk.ScriptStatus)
		for _, s := range runs {
			state[s.Name] = s
		}
		slow := state["slow"]
		return slow.State == sdk.ScriptsSucceeded && *slow.ExitCode == 0 && slow.FinishedAt.Sub(*slow.StartedAt) >= 2*time.Second &&
			state["serve"].State == sdk.ScriptsRunning && state["nightly"].NextAt != nil && state["bye"].State == sdk.ScriptWaiting
	})
	if out := d.must("ssh", "dev", "--", "cat served"); out != "hello\n" {
		t.Errorf("the service did not begin after the script: %q", out)
	}
	if out := d.must("show", "dev"); !strings.Contains(out, "serve    start, service") {
		t.Errorf("show says nothing of scripts:\n%s", out)
	}

	d.eventually("what the template measures", func() bool {
		var w sdk.Workspace
		d.json(&w, "show", "dev", "-o", "json")
		m := w.Agents[0].Metadata
		return len(m) == 1 && m[0].Key == "disk" && m[0].Value != "" && m[0].Error == "" && m[0].At != nil
	})

	var started sdk.Workspace
	d.json(&started, "show", "dev", "-o", "json")
	var stopped sdk.Workspace
	d.json(&stopped, "stop", "dev", "-o", "json")
	if !slices.Contains(stopped.Conditions, sdk.Condition{Type: "agents-connected", Status: "false", Message: "the workspace is stopped"}) {
		t.Errorf("conditions of a stopped workspace: %+v", stopped.Conditions)
	}
	if _, err := d.adit("ssh", "dev", "--", "true"); err == nil || !strings.Contains(err.Error(), "adit start dev") {
		t.Errorf("ssh into a workspace that is stopped: %v", err)
	}
	if out := d.must("logs", "dev"); !strings.Contains(out, "bye      goodbye\n") {
		t.Errorf("the shutdown script said nothing: %s", out)
	}
	d.must("start", "dev", "--parameter", "greeting=again")
	var rebuilt sdk.Workspace
	d.json(&rebuilt, "show", "dev", "-o", "json")
	if was, is := started.Agents[0].HostKey, rebuilt.Agents[0].HostKey; was == "" || is != was {
		t.Errorf("the host key was %q, and is %q after another build", was, is)
	}
	if out := d.must("ssh", "dev", "--", "cat greeting"); out != "again\n" {
		t.Errorf("started with another parameter: %q", out)
	}

	var state struct{ Lineage string }
	if err := json.Unmarshal([]byte(d.must("state", "pull", "dev")), &state); err != nil || state.Lineage == "" {
		t.Errorf("state: %+v, %v", state, err)
	}
	if _, err := d.adit("state", "push", "dev", os.DevNull); err == nil || !strings.Contains(err.Error(), "no Terraform state") {
		t.Errorf("an empty state is pushed: %v", err)
	}
	var builds []sdk.Build
	d.json(&builds, "builds", "dev", "-o", "json")
	if len(builds) != 3 || builds[0].Parameters["greeting"] != "again" || builds[1].Transition != "stop" {
		t.Errorf("builds: %+v", builds)
	}
	d.must("delete", "-y", "dev")
	if out := d.must("list"); !strings.Contains(out, "No workspaces") {
		t.Errorf("deleted, and yet: %s", out)
	}
}

// A build that would take two hours: who made it leaves, and later ends it.
func TestABuildIsLeftAndCanceled(t *testing.T) {
	d := deployWithTemplate(t, "process", `
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "exec sleep 7200" }
}
`)
	create := d.start(d.laptop, "create.log", "create", "dev", "--template", "process")
	create.waitFor("terraform_data.slow")
	create.stop()
	create.waitFor("goes on without you")
	if _, err := d.adit("stop", "dev"); err == nil || !strings.Contains(err.Error(), "build 1") {
		t.Errorf("another build meanwhile: %v", err)
	}
	began := time.Now()
	d.must("cancel", "dev")
	d.eventually("canceled", func() bool {
		var builds []sdk.Build
		out, err := d.adit("builds", "dev", "-o", "json")
		return err == nil && json.Unmarshal([]byte(out), &builds) == nil && builds[0].Job.Status == "canceled"
	})
	t.Logf("canceled after %v", time.Since(began).Round(100*time.Millisecond))
	d.must("delete", "-y", "dev")
}

// deployWithTemplate starts a server, signs in on the laptop, and pushes a template
// with what is added to it: the one that the binary carries if that is its name,
// else one with nothing more.
func deployWithTemplate(t *testing.T, name, added string, serverArgs ...string) *deployment {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil && !slices.Contains(serverArgs, "--terraform") {
		t.Skip("there is no Terraform: ", err)
	}
	d := newDeployment(t, serverArgs...)
	d.laptop = d.lab.Host("laptop")
	d.startServer()
	d.login()
	dir := filepath.Join(d.dir, "template")
	if name == "process" {
		d.must("templates", "init", name, dir)
	} else if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "added.tf"), []byte(added), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must("templates", "push", name, "-d", dir)
	return d
}

// must runs a command line on the laptop that must succeed, and returns what it
// says.
func (d *deployment) must(args ...string) string {
	d.t.Helper()
	out, err := d.adit(args...)
	if err != nil {
		d.t.Fatalf("adit %s: %v", strings.Join(args, " "), err)
	}
	return out
}
