package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/agent/update"
	"github.com/aditmesh/adit/pkg/netlab"
)

// An agent replaces its program by its coordinator's when it is asked and may: people
// finish first, tmux keeps its sessions, and the process stays the same.
func TestTheAgentUpdatesItself(t *testing.T) {
	offers := t.TempDir()
	d := deploy(t, netlab.NoNAT, netlab.NoNAT, "--agent-binaries", offers)
	if _, err := d.adit("agent", "update", "dev"); err == nil || !strings.Contains(err.Error(), "--allow-update") {
		t.Errorf("an agent that may not: %v", err)
	}
	d.agentProc.stop()

	// Programs that differ in a last word that nobody reads.
	read, err := os.ReadFile(d.bin)
	if err != nil {
		t.Fatal(err)
	}
	offer := func(program []byte) {
		t.Helper()
		if err := writeFileAtomic(filepath.Join(offers, "adit-"+runtime.GOOS+"-"+runtime.GOARCH), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	next := append(slices.Clone(read), "next"...)
	offer(next)
	own := filepath.Join(d.dir, "agent", "adit")
	if err := os.Mkdir(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, read, 0o755); err != nil {
		t.Fatal(err)
	}
	agent := d.devbox.Command(context.Background(), own, "agent", "--url", d.url(), "--token", d.agentToken, "--allow-update", "-v")
	agent.Env, agent.Dir = d.env(), d.dir
	d.agentProc = d.run(d.devbox, "agent.log", agent)
	d.agentProc.waitFor("agent ready")
	d.agentIs("connected")
	runs := fmt.Sprintf("/proc/%d/exe", agent.Process.Pid)
	digest := func(file string) string {
		t.Helper()
		sum, err := update.Digest(file)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}

	kept := false
	if _, err := exec.LookPath("tmux"); err == nil {
		kept = true
		look := d.start(d.laptop, "work.log", "ssh", "dev", "--session", "work")
		if _, err := look.stdin.Write([]byte("X=kept; echo said-$((40+2))\n")); err != nil {
			t.Fatal(err)
		}
		look.waitFor("said-42")
		// It leaves tmux as people do: one that vanishes may be waited for until the time is up.
		if _, err := look.stdin.Write([]byte("\x02d")); err != nil {
			t.Fatal(err)
		}
		if err := look.wait(); err != nil {
			t.Errorf("the terminal that was left: %v", err)
		}
	}
	open := d.start(d.laptop, "open.log", "ssh", "dev", "--", "cat")
	open.echo("before")
	var answer update.Answer
	d.json(&answer, "agent", "update", "dev", "-o", "json")
	if !answer.Changed || answer.InUse < 1 || answer.Version != version || answer.WithinSeconds != 600 {
		t.Errorf("the answer: %+v", answer)
	}
	if digest(own) == digest(runs) {
		t.Error("the program has not taken its place")
	}
	open.echo("still there")
	if err := open.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open.wait(); err != nil {
		t.Errorf("the session that was waited for: %v", err)
	}
	d.agentProc.waitFor("agent ready") // of the same process
	if digest(own) != digest(runs) {
		t.Error("another program runs than was put in place")
	}
	if out, err := d.adit("ssh", "dev", "--", "echo after; env"); err != nil || !strings.HasPrefix(out, "after\n") || strings.Contains(out, "ADIT_AGENT_") {
		t.Errorf("after: %q, %v", out, err)
	}
	if kept {
		look := d.start(d.laptop, "again.log", "ssh", "dev", "--session", "work")
		if _, err := look.stdin.Write([]byte("echo $X-still\n")); err != nil {
			t.Fatal(err)
		}
		look.waitFor("kept-still")
		d.must("sessions", "kill", "dev", "work")
	}
	d.json(&answer, "agent", "update", "dev", "-o", "json")
	if answer.Changed {
		t.Errorf("there is nothing new, and it is %+v", answer)
	}

	// Within the workspace the agent is asked by its socket. What does not run takes no
	// place, and a time that is up ends a session.
	offer([]byte("no program"))
	if out, err := d.adit("ssh", "dev", "--", own+" agent update"); err == nil || !strings.Contains(err.Error(), "does not run here") {
		t.Errorf("garbage: %q, %v", out, err)
	}
	if digest(own) != digest(runs) {
		t.Error("garbage has taken the place")
	}
	offer(append(slices.Clone(next), "and one more"...))
	open = d.start(d.laptop, "open.log", "ssh", "dev", "--", "cat")
	open.echo("before")
	if out, err := d.adit("ssh", "dev", "--", own+" agent update --within 1s"); err != nil || !strings.Contains(out, "updated to "+version) {
		t.Errorf("%q, %v", out, err)
	}
	d.agentProc.waitFor("agent ready")
	if err := open.wait(); err == nil {
		t.Error("a session outlived its agent")
	}
	if out, err := d.adit("ssh", "dev", "--", "echo again"); err != nil || out != "again\n" {
		t.Errorf("again: %q, %v", out, err)
	}
}

func TestWithoutToken(t *testing.T) {
	got := withoutToken([]string{"adit", "agent", "--token", "secret", "--url=x", "--token-file=f", "--token=secret", "--auth", "token", "--token-file", "f", "-v"})
	if want := []string{"adit", "agent", "--url=x", "--auth", "token", "-v"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
