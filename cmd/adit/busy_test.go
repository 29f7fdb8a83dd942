package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aditmesh/adit/pkg/netlab"
)

// A workspace whose programs want thirty times the processor that there is neither
// loses its agent nor keeps people out, and its programs are as any others.
func TestHeartbeatsSurviveABusyWorkspace(t *testing.T) {
	d := deploy(t, netlab.NoNAT, netlab.NoNAT, "--node-ping", "500ms", "--node-timeout", "2s")
	d.agentProc.stop()
	// The workspace has one processor, and the agent no more of it than its programs.
	agent := d.devbox.Command(context.Background(), "taskset", "-c", "0", d.bin, "agent", "--url", d.url(), "--token", d.agentToken, "-v")
	agent.Env, agent.Dir = d.env(), d.dir
	d.agentProc = d.run(d.devbox, "agent.log", agent)
	d.agentProc.waitFor("agent ready")
	d.agentIs("connected")

	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	nice := 20 - own
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.agentProc.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if got := niceOf(string(stat)); got != nice-10 {
		t.Errorf("the agent has nice %d, want %d", got, nice-10)
	}
	out, err := d.adit("ssh", "dev", "--", "cat /proc/self/oom_score_adj /proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	if score, stat, _ := strings.Cut(out, "\n"); score != "0" || niceOf(stat) != nice {
		t.Errorf("a program of the workspace has nice %d and the out-of-memory score %s, want %d and 0", niceOf(stat), score, nice)
	}

	// Each in a session of its own: some kernels share the processor among those.
	pids := filepath.Join(d.dir, "pids")
	const load = `for i in $(seq 30); do setsid timeout 30 sh -c 'while :; do :; done' & echo $! >> %s; done; echo busy; wait`
	busy := d.start(d.laptop, "busy.log", "ssh", "dev", "--", fmt.Sprintf(load, pids))
	busy.waitFor("busy")
	for began := time.Now(); time.Since(began) < 6*time.Second; { // three times what makes it lost
		a, err := d.agent()
		if err != nil || a.State != "connected" {
			t.Fatalf("after %v the agent is %s, %v", time.Since(began).Round(time.Millisecond), a.State, err)
		}
	}
	began := time.Now()
	if out, err := d.adit("ssh", "dev", "--", "echo in; kill $(cat "+pids+")"); !strings.HasPrefix(out, "in\n") {
		t.Errorf("%q, %v", out, err)
	}
	t.Logf("a command beside thirty busy programs took %v", time.Since(began).Round(time.Millisecond))
	for len(d.agentProc.lines) > 0 {
		if line := <-d.agentProc.lines; strings.Contains(line, "control session ended") {
			t.Error(line)
		}
	}
}

// niceOf reads the nice value from a line of /proc/PID/stat.
func niceOf(stat string) int {
	const field = 19 - 3 // of proc_pid_stat(5), counted from behind the name
	_, rest, _ := strings.Cut(stat, ") ")
	if fields := strings.Fields(rest); len(fields) > field {
		if n, err := strconv.Atoi(fields[field]); err == nil {
			return n
		}
	}
	return 99
}
