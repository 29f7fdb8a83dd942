package provisioner

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childVar makes this test program a provisioner: the directory to run it on.
const childVar = "TEST_PROVISIONER_DIR"

// TestProvisionerProcess is a provisioner in a process of its own, for tests
// that kill it.
func TestProvisionerProcess(t *testing.T) {
	dir := os.Getenv(childVar)
	if dir == "" {
		t.Skip("not the child")
	}
	c := &coordinator{t: t}
	cfg := c.configAt(os.Getenv("TEST_PROVISIONER_URL"), dir)
	if err := Run(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
}

func startProcess(t *testing.T, c *coordinator, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProvisionerProcess$")
	cmd.Env = append(os.Environ(), childVar+"="+dir, "TEST_PROVISIONER_URL="+c.web.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func TestStateSurvivesSIGKILLOfTheProvisioner(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	child := startProcess(t, c, dir)
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", endless(pid), nil)
	c.awaitLog("b", "it-began")
	child.Process.Kill()
	child.Wait()
	start(t, c.config(dir))
	if why := c.fail("b"); !strings.Contains(why, "ended while Terraform ran") {
		t.Errorf("error is %q", why)
	}
	if got := resourcesIn(t, c.state("b")); got < 1 {
		t.Errorf("state has %d resources", got)
	}
	gone(t, pid)
	noJobs(t, dir)
}

func TestAnImportThatWasKilledLeavesNothing(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	child := startProcess(t, c, dir)
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
