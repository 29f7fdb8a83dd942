package provisioner

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// many makes resources as fast as Terraform does.
const many = `
resource "terraform_data" "x" { count = 800 }
`

var creationComplete = regexp.MustCompile(`^(terraform_data\.x\[\d+\]): Creation complete`)

// terraformOf finds the Terraform that applies the plan of a provisioner's job.
func terraformOf(t *testing.T, dir, job string) int {
	t.Helper()
	mark := "ADIT_JOB=" + filepath.Join(dir, "jobs", job) + ".1"
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range environs {
		environ, _ := os.ReadFile(file) // or it is gone
		line, _ := os.ReadFile(filepath.Dir(file) + "/cmdline")
		if bytes.Contains(environ, []byte(mark)) && bytes.Contains(line, []byte("\x00apply\x00")) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no Terraform applies " + mark)
	return 0
}

// Terraform empties its state before it makes the next one: with many resources
// that is where it is when it is killed. Then all that it had said to be made must
// be known, but for what it made at the same time.
func TestOfAKilledApplyTheStateHasWhatWasMade(t *testing.T) {
	const atOnce = 10 // by Terraform, unless told otherwise
	c := newCoordinator(t)
	dir := t.TempDir()
	start(t, c.config(dir))
	for i := range 5 {
		id := "b" + strconv.Itoa(i)
		c.order(id, many, nil)
		c.awaitLog(id, "terraform_data.x["+strconv.Itoa(50*i+20)+"]: Creation complete")
		if err := syscall.Kill(terraformOf(t, dir, id), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.fail(id)
		made := 0
		for _, line := range c.log(id) {
			if creationComplete.MatchString(line) {
				made++
			}
		}
		var s struct {
			Resources []struct{ Instances []any }
		}
		if err := json.Unmarshal([]byte(c.state(id)), &s); err != nil || len(s.Resources) == 0 {
			t.Fatalf("state %.100q: %v", c.state(id), err)
		}
		if has := len(s.Resources[0].Instances); has+atOnce <= made {
			t.Errorf("%d were made, the state has %d", made, has)
		}
	}
}

func TestOfAKilledTerraformItIsSaidWhatItWasAt(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	start(t, c.config(dir))
	pid := filepath.Join(t.TempDir(), "pid")
	c.order("b", endless(pid), nil)
	c.awaitLog("b", "(local-exec): it-began")
	if err := syscall.Kill(terraformOf(t, dir, "b"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if why := c.fail("b"); !strings.Contains(why, "killed while it was at terraform_data.endless: ") || strings.Contains(why, "more") {
		t.Errorf("error is %q", why)
	}
	gone(t, pid)
}
