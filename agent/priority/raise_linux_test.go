package priority

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// asked is set in the process that a test starts to be raised in its stead.
	asked = "TEST_PRIORITY"

	// startScore is that process's score at first: so high that lowering it stays
	// above 0, which even root without CAP_SYS_RESOURCE may.
	startScore = oomBy + 100
)

// The agent is raised with every thread, also those it makes later, and what it starts
// is not, however much it starts at once.
func TestWhatIsStartedIsNotRaised(t *testing.T) {
	if os.Getenv(asked) == "" {
		alone(t)
		return
	}
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	was := 20 - prio
	wasNice, wantNice := strconv.Itoa(was), strconv.Itoa(max(was-niceBy, niceMost))
	r, err := Raise()
	if err != nil {
		t.Fatal(err)
	}
	wantOOM := strconv.Itoa(startScore - oomBy)
	// Programs, among goroutines that hold threads.
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 8 {
				cmd := exec.Command("sh", "-c", "cat /proc/self/stat /proc/self/oom_score_adj; sleep 0.01")
				out, w, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				cmd.Stdout = w
				if err := r.Start(cmd); err != nil {
					t.Error(err)
				}
				w.Close()
				text, err := io.ReadAll(out)
				if err := errors.Join(err, cmd.Wait(), out.Close()); err != nil {
					t.Error(err)
				}
				if nice, oom := read(t, string(text)); nice != wasNice || oom != strconv.Itoa(startScore) {
					t.Errorf("a program has nice %s and score %s, want what the agent was started with", nice, oom)
				}
			}
		})
	}
	wg.Wait()
	tasks, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(tasks) < 4 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, file := range tasks {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		score, err := os.ReadFile("/proc/self/oom_score_adj")
		if err != nil {
			t.Fatal(err)
		}
		if nice, oom := read(t, string(stat)+string(score)); nice != wantNice || oom != wantOOM {
			t.Errorf("a thread of the agent has nice %s and score %s", nice, oom)
		}
	}
}

// When memory runs out, what the agent started is ended and not the agent, though that
// is the larger.
func TestWhenMemoryRunsOutTheAgentStays(t *testing.T) {
	const (
		limit = 384 << 20
		held  = limit / 2
	)
	if os.Getenv(asked) == "" {
		alone(t, "sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(memoryGroup(t, limit), "cgroup.procs"))
		return
	}
	r, err := Raise()
	if err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(-1, 0, held, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	if err := unix.Madvise(memory, unix.MADV_POPULATE_WRITE); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tail", "/dev/zero") // keeps its last line, which has no end
	if err := r.Start(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != unix.SIGKILL {
		t.Errorf("the program ended with %v, want it killed", err)
	}
}

// memoryGroup makes a cgroup with a limit of memory, in bytes, for the time of the test.
func memoryGroup(t *testing.T, limit int) string {
	t.Helper()
	parent, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		parent, file = "/sys/fs/cgroup", "memory.max"
	}
	dir, err := os.MkdirTemp(parent, "adit-test-")
	if err != nil {
		t.Skipf("needs a cgroup of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(limit)), 0); err != nil {
		t.Skipf("needs a cgroup that limits memory: %v", err)
	}
	return dir
}

// One that may not raise itself says so, and starts programs all the same.
func TestWithoutTheRightNothingIsRaised(t *testing.T) {
	if os.Getenv(asked) == "" {
		alone(t, "setpriv", "--inh-caps=-all", "--bounding-set=-all")
		return
	}
	r, err := Raise()
	if err == nil {
		t.Error("it was raised")
	}
	cmd := exec.Command("true")
	if err := r.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestOfNothingRaisedProgramsStart(t *testing.T) {
	var r *Raised
	cmd := exec.Command("true")
	if err := r.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// alone runs the test in a process of its own, which starts nicer than this one and
// with the score 100, under what names another program to run it.
func alone(t *testing.T, under ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be raised")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append([]string{"-c", `echo "$0" > /proc/self/oom_score_adj && exec nice -n 3 "$@"`, strconv.Itoa(startScore)}, append(under, program, "-test.run=^"+t.Name()+"$", "-test.v")...)
	cmd := exec.Command("sh", line...)
	cmd.Env = append(os.Environ(), asked+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "SKIP") || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// read finds the nice value and the score in the text of a stat and of what follows.
func read(t *testing.T, text string) (nice, oom string) {
	t.Helper()
	const niceField = 19 - 3 // of proc_pid_stat(5), counted from behind the name
	_, rest, _ := strings.Cut(text, ") ")
	stat, oom, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(stat)
	if len(fields) <= niceField {
		t.Fatal(fmt.Errorf("no stat: %q", text))
	}
	return fields[niceField], strings.TrimSpace(oom)
}
