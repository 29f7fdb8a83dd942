package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheEnvironmentInProcHoldsNoSettings(t *testing.T) {
	if os.Getenv("TEST_HIDE") != "" {
		if err := hideEnvironment(); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv("ADIT_POSTGRES_URL"); got != "postgres://u:secret@db/adit" {
			t.Errorf("the process itself reads %q", got)
		}
		shown, err := os.ReadFile("/proc/self/environ")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), "secret") || !strings.Contains(string(shown), "TEST_HIDE=1") {
			t.Errorf("environ is %q", shown)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TEST_HIDE=1", "ADIT_POSTGRES_URL=postgres://u:secret@db/adit")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Programs of the agent's own user, as those of sessions are, see neither its token
// nor its memory.
func TestTheAgentKeepsItsTokenFromItsOwnUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nobody := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return cmd
	}
	program := t.TempDir() + "/adit"
	for _, dir := range []string{t.TempDir(), t.TempDir() + "/.."} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", bin, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Nobody answers there, so that it waits.
	agent := nobody(program, "agent", "--url", "http://127.0.0.1:1", "--token", "adit_agent_secret", "--no-port-mapping")
	agent.Env = append(os.Environ(), "ADIT_AGENT_TOKEN=adit_agent_secret", "HOME=/")
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = agent.Process.Kill()
		_ = agent.Wait() // killed
	}()
	proc := fmt.Sprintf("/proc/%d/", agent.Process.Pid)
	look := func(file string) string {
		out, _ := nobody("cat", proc+file).CombinedOutput() // what it says is looked at
		return string(out)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(look("environ"), "denied") {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the agent hides nothing")
		}
	}
	if args := look("cmdline"); strings.Contains(args, "secret") || !strings.Contains(args, "--token") {
		t.Errorf("arguments: %q", args)
	}
	for _, file := range []string{"environ", "mem", "maps"} {
		if out := look(file); !strings.Contains(out, "ermission denied") {
			t.Errorf("%s: %.100q", file, out)
		}
	}
	if out, err := nobody("ls", "-l", proc+"fd").CombinedOutput(); err == nil {
		t.Errorf("open files: %.100q", out)
	}
}
