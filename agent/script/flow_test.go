package script

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// gone waits until the process whose id is in a file has ended.
func gone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d is still there", pid)
}

// A script that forks and prints for ever is ended with all it started, and has
// cost no memory to speak of.
func TestAScriptThatForksAndPrintsForEver(t *testing.T) {
	c := newCoordinator()
	dir := t.TempDir()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu := processorTime(t)
	began := time.Now()
	r := start(t, c, sdk.Script{Name: "flood", RunOn: "start", TimeoutSeconds: 2,
		Script: fmt.Sprintf("trap '' TERM; for i in 1 2 3; do (trap '' TERM; yes a line like any other) & echo $! > %s/$i; done; wait", dir)})
	c.until(t, "timeout", c.reported(sdk.ScriptsTimeout))
	used, took := processorTime(t)-cpu, time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	r.Stop()
	for i := 1; i <= 3; i++ {
		gone(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if used > took/2 {
		t.Errorf("the agent used %v of processor time in %v", used, took)
	}
	kept := 0
	for _, l := range c.lines {
		kept += len(l.Text)
	}
	if most := outputBurst + int(took.Seconds()+2)*outputRate; kept > most {
		t.Errorf("%d bytes were kept, at most %d are expected", kept, most)
	}
	if text := c.text(); !strings.Contains(text, "lines are left out here") {
		t.Error("nobody was told that lines are missing")
	}
	t.Logf("kept %d KiB of it; %v of processor time in %v", kept>>10, used, took)
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestFlow(t *testing.T) {
	now := time.Now()
	f := newFlow(now)
	for n := 0; n < outputBurst; n += maxLine {
		if !f.admit(maxLine, now) {
			t.Fatalf("not even %d bytes are kept", outputBurst)
		}
	}
	for range 10 {
		if f.admit(maxLine, now) {
			t.Fatal("there is no end to it")
		}
	}
	if f.admit(maxLine, now.Add(time.Second/2)) {
		t.Error("lines come in drops")
	}
	if !f.admit(maxLine, now.Add(time.Second+time.Second/100)) {
		t.Error("nothing after a second")
	}
	if note := f.note(); !strings.Contains(note, "(11 lines") || f.note() != "" {
		t.Errorf("%q, then %q", note, f.note())
	}
}
