package provisioner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aditmesh/adit/provisioner/standin"
)

// startApart runs a provisioner in a process of its own, for tests that kill it,
// and for those that measure: this one may be instrumented.
func startApart(t *testing.T, c *coordinator, dir string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(standin.Path(t), standin.ProvisionerCommand, c.web.URL, dir)
	cmd.Env = append(os.Environ(), env...)
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // or the test has ended it
		_ = cmd.Wait()
	})
	return cmd
}

func TestStateSurvivesSIGKILLOfTheProvisioner(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	child := startApart(t, c, dir)
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", endless(pid), nil)
	c.awaitLog("b", "(local-exec): it-began")
	child.Process.Kill()
	child.Wait()
	start(t, c.config(dir))
	if why := c.fail("b"); !strings.Contains(why, "ended while Terraform ran") {
		t.Errorf("error is %q", why)
	}
	if got := resourcesIn(t, c.state("b")); got != 2 {
		t.Errorf("state has %d resources, want the one that was made and the one that was being made", got)
	}
	gone(t, pid)
	noJobs(t, dir)
}

// Nobody reads what it says any more.
func TestTerraformGoesOnWithoutItsProvisioner(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	child := startApart(t, c, dir)
	killed, done := filepath.Join(t.TempDir(), "killed"), filepath.Join(t.TempDir(), "done")
	c.order("b", `
resource "terraform_data" "long" {
  provisioner "local-exec" { command = "echo it-began; while [ ! -e `+killed+` ]; do sleep 0.05; done; seq 2000" }
}
resource "terraform_data" "last" {
  depends_on = [terraform_data.long]
  provisioner "local-exec" { command = "touch `+done+`" }
}
`, nil)
	c.awaitLog("b", "(local-exec): it-began")
	child.Process.Kill()
	child.Wait()
	if err := os.WriteFile(killed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last resource", func() bool { _, err := os.Stat(done); return err == nil })
	start(t, c.config(dir))
	c.fail("b")
	if got := resourcesIn(t, c.state("b")); got != 2 {
		t.Errorf("state has %d resources, want 2", got)
	}
}

func TestAnImportThatWasKilledLeavesNothing(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	child := startApart(t, c, dir)
	c.order("i", `
data "external" "x" {}
resource "terraform_data" "x" {}
`, anImport)
	eventually(t, "the job's directory", func() bool {
		_, err := os.Stat(filepath.Join(dir, "jobs", "i", "job.json"))
		return err == nil
	})
	child.Process.Kill()
	child.Wait()
	start(t, c.config(dir))
	noJobs(t, dir)
}
