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
	"testing"

	"golang.org/x/sys/unix"
)

// asked is set in the process that a test starts to be raised in its stead.
const asked = "TEST_PRIORITY"

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
	wantOOM := "-400"
	if err != nil && strings.Contains(err.Error(), "out-of-memory") {
		wantOOM, err = "100", nil // root without CAP_SYS_RESOURCE
	}
	if err != nil {
		t.Fatal(err)
	}
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
				if nice, oom := read(t, string(text)); nice != wasNice || oom != "100" {
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
	line := append([]string{"-c", `echo 100 > /proc/self/oom_score_adj && exec nice -n 3 "$@"`, "sh"}, append(under, program, "-test.run=^"+t.Name()+"$", "-test.v")...)
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
