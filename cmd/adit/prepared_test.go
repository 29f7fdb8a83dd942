package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// slowToStart is added to the example template: scripts that log-ins wait for, which
// those who claim a prepared workspace do not.
const slowToStart = `
resource "adit_script" "slow" {
  agent_id     = adit_agent.main.id
  name         = "slow"
  run_on       = "start"
  blocks_login = true
  script       = "sleep 3; date > $HOME/made"
}
`

// prepared returns how many workspaces of the template are kept ready.
func (d *deployment) prepared() (p sdk.Prepared) {
	d.t.Helper()
	var shown struct {
		Prepared sdk.Prepared `json:"prepared"`
	}
	d.json(&shown, "templates", "edit", "process", "-o", "json")
	return shown.Prepared
}

func (d *deployment) readyIs(n int) {
	d.t.Helper()
	d.eventually("workspaces that are ready", func() bool { return d.prepared().Ready == n })
}

// claimToSSH is how soon a command runs in a workspace that somebody wants, from one
// that is prepared, on an idle machine in the median.
const claimToSSH = 2 * time.Second

// A template keeps workspaces ready; whoever makes one gets one of them, at once.
func TestPreparedWorkspaces(t *testing.T) {
	d := deployWithTemplate(t, "process", slowToStart)
	t.Cleanup(func() {
		_, _ = d.adit("templates", "edit", "process", "--prepared", "0")
		for _, name := range []string{"one", "two", "three", "large"} { // no process stays, whatever happens
			_, _ = d.adit("delete", "-y", name)
		}
		d.eventually("no prepared workspace", func() bool {
			out, err := d.adit("list", "--all")
			return err != nil || strings.Contains(out, "No workspaces")
		})
	})
	if out := d.must("templates", "edit", "process", "--prepared", "2", "--prepared-schedule", "daily 00:00-23:59"); !strings.Contains(out, "Prepared       2 (daily 00:00-23:59 UTC): 0 ready") {
		t.Errorf("it says\n%s", out)
	}
	var took []time.Duration
	for _, name := range []string{"one", "two", "three"} {
		d.readyIs(2)
		began := time.Now()
		if out := d.must("create", name, "--template", "process"); !strings.Contains(out, "Workspace "+name+", which was prepared, is running.") {
			t.Errorf("create says %q", out)
		}
		out := d.must("ssh", name, "--", "cat made && echo $ADIT_OWNER/$ADIT_WORKSPACE")
		took = append(took, time.Since(began))
		if !strings.HasSuffix(out, "alice/"+name+"\n") {
			t.Errorf("in the workspace it is %q", out)
		}
	}
	slices.Sort(took)
	t.Logf("from claim to the end of a command over SSH: %v", took)
	if took[1] > 2*claimToSSH { // others may use the machine
		t.Errorf("it took %v in the median, want %v", took[1], claimToSSH)
	}
	var w sdk.Workspace
	d.json(&w, "show", "one", "-o", "json")
	if b := w.LatestBuild; b.Number != 2 || b.Reason != sdk.ReasonClaimed || b.Initiator != "alice" || w.Owner != "alice" {
		t.Errorf("it is %+v, with %+v", w, b)
	}

	// What can change is changed by a build that the agent outlives.
	d.readyIs(2)
	pid := func(name string) string { return d.must("ssh", name, "--wait=no", "--", "cat made; echo $PPID") }
	d.json(&w, "create", "large", "--template", "process", "--parameter", "repository=https://example.invalid/x.git", "-o", "json")
	if b := w.LatestBuild; b.Number != 2 || b.Parameters["repository"] == "" || b.Job.Status != "succeeded" {
		t.Errorf("with a parameter it is %+v", b)
	}
	if out := pid("large"); out == "" {
		t.Error("no ssh")
	}
	// A claimed workspace is as any other.
	d.must("stop", "one")
	d.must("start", "one")
	if out := d.must("ssh", "one", "--", "echo $ADIT_OWNER/$ADIT_WORKSPACE"); out != "alice/one\n" {
		t.Errorf("after another start it is %q", out)
	}

	// Another version replaces those of the old one.
	d.readyIs(2)
	extra := filepath.Join(d.dir, "template", "extra.tf")
	if err := os.WriteFile(extra, []byte(`resource "terraform_data" "extra" {}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must("templates", "push", "process", "-d", filepath.Join(d.dir, "template"))
	d.eventually("those of the new version alone", func() bool {
		var all []sdk.Workspace
		d.json(&all, "list", "--all", "-o", "json")
		fresh := 0
		for _, w := range all {
			if w.Owner == "alice" {
				continue
			}
			if w.TemplateVersion != 2 {
				return false
			}
			fresh++
		}
		return fresh == 2
	})
	d.must("templates", "edit", "process", "--prepared", "0")
}
