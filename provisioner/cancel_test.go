package provisioner

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// endless makes one resource and then stays in a command that ignores what
// interrupts it; its process id goes to the file.
func endless(pidFile string) string {
	return `
resource "terraform_data" "first" {}
resource "terraform_data" "endless" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "trap '' INT TERM; echo $$ > ` + pidFile + `; echo it-began; while :; do sleep 1; done"
  }
}
`
}

// gone waits until the process that a file names is gone.
func gone(t *testing.T, pidFile string) {
	t.Helper()
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the template's command", func() bool { return syscall.Kill(pid, 0) != nil })
}

func TestCancelInterruptsThenKillsAndKeepsTheState(t *testing.T) {
	for _, force := range []bool{false, true} {
		t.Run("force="+strconv.FormatBool(force), func(t *testing.T) {
			c := newCoordinator(t)
			start(t, c.config(t.TempDir()))
			pid := filepath.Join(t.TempDir(), "pid")
			c.order("b", endless(pid), nil)
			c.awaitLog("b", "(local-exec): it-began")
			c.cancel("b", force)
			r := c.result("b")
			if r.GetStatus() != provisionerv1.Result_CANCELED || !strings.Contains(r.GetError(), "canceled") {
				t.Errorf("result is %v: %s", r.GetStatus(), r.GetError())
			}
			if got := resourcesIn(t, c.state("b")); got < 1 {
				t.Errorf("state has %d resources, want the first at least", got)
			}
			gone(t, pid)
			c.order("next", two, nil)
			c.succeed("next")
		})
	}
}

// Two coordinators may give a job the same id, or one restored from another's
// backup.
func TestProvisionersOfOneHostLeaveEachOthersJobsAlone(t *testing.T) {
	ours, theirs := newCoordinator(t), newCoordinator(t)
	for _, c := range []*coordinator{ours, theirs} {
		start(t, c.config(t.TempDir()))
		c.order("b", `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "echo it-began; sleep 1000" }
}
`, nil)
		c.awaitLog("b", "(local-exec): it-began")
	}
	ours.cancel("b", true)
	ours.fail("b")
	theirs.order("next", two, nil)
	theirs.succeed("next") // time for what was killed to be reported
	theirs.mu.Lock()
	r := theirs.results["b"]
	theirs.mu.Unlock()
	if r != nil {
		t.Errorf("the other provisioner's job of the same id ended, too: %s", r.GetError())
	}
}

func TestAJobThatTakesTooLongIsEnded(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", endless(pid), func(j *provisionerv1.Job) { j.TimeoutSeconds = 3 })
	if why := c.fail("b"); !strings.Contains(why, "longer than it may") {
		t.Errorf("error is %q", why)
	}
	gone(t, pid)
}

func TestNothingOfAJobOutlivesIt(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "setsid sh -c 'echo $$ > `+pid+`; exec sleep 1000' > /dev/null 2>&1 & sleep 0.3" }
}
`, nil)
	c.succeed("b")
	gone(t, pid)
}

func TestLosingTheCoordinatorForALeaseInterruptsAndDeliversOnReturn(t *testing.T) {
	c := newCoordinator(t)
	c.lease = 2
	start(t, c.config(t.TempDir()))
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", endless(pid), nil)
	c.awaitLog("b", "(local-exec): it-began")
	c.leave()
	gone(t, pid)
	c.comeBack()
	if why := c.fail("b"); !strings.Contains(why, "could not be reached") {
		t.Errorf("error is %q", why)
	}
	if got := resourcesIn(t, c.state("b")); got < 1 {
		t.Errorf("state has %d resources", got)
	}
	c.order("next", two, nil)
	c.succeed("next")
}

func TestAShortLossOfTheCoordinatorIsNotNoticed(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	c.order("b", `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "echo it-began; sleep 2; echo it-ended" }
}
`, nil)
	c.awaitLog("b", "(local-exec): it-began")
	c.leave()
	c.comeBack()
	c.succeed("b")
	c.awaitLog("b", "it-ended")
	if hello := c.hellos[len(c.hellos)-1]; len(hello.GetJobs()) != 1 || hello.GetJobs()[0].GetId() != "b" {
		t.Errorf("the second hello has jobs %v, want b", hello.GetJobs())
	}
}

func TestWhatAStoppedProvisionerLeavesTheNextOneDelivers(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	stop := start(t, c.config(dir))
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", endless(pid), nil)
	c.awaitLog("b", "(local-exec): it-began")
	c.leave()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	gone(t, pid)
	c.comeBack()
	start(t, c.config(dir))
	if why := c.fail("b"); !strings.Contains(why, "was stopped") {
		t.Errorf("error is %q", why)
	}
	if got := resourcesIn(t, c.state("b")); got < 1 {
		t.Errorf("state has %d resources", got)
	}
	noJobs(t, dir)
}

// sleeper begins, waits for a file and ends.
func sleeper(until string) string {
	return `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "echo it-began; until test -e ` + until + `; do sleep 0.05; done; echo it-ended" }
}
`
}

func TestOneThatLeavesEndsItsJobsAndTakesNone(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	leave, file := make(chan struct{}), filepath.Join(t.TempDir(), "go-on")
	cfg.Leave = leave
	done := make(chan error, 1)
	go func() { done <- Run(t.Context(), cfg) }()
	c.order("b", sleeper(file), nil)
	c.awaitLog("b", "(local-exec): it-began")
	close(leave)
	c.await("the bye", func() bool { return c.bye })
	c.order("late", two, nil)
	c.await("a job that is given back", func() bool { return len(c.refused) == 1 })
	// It comes back with its job, and still wants no other.
	c.leave()
	c.comeBack()
	c.await("another session", func() bool { return len(c.hellos) == 2 })
	if hello := c.hellos[1]; !hello.GetLeaving() || len(hello.GetJobs()) != 1 {
		t.Errorf("it comes back with %v", hello)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.succeed("b")
	c.awaitLog("b", "it-ended")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if r := c.refused[0]; r.GetId() != "late" || c.results["late"] != nil {
		t.Errorf("%v is given back, and the result is %v", r, c.results["late"])
	}
}
