package provisioner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// maxOverhead is how much longer a build may take than Terraform by itself.
const maxOverhead = 1300 * time.Millisecond

// bare runs Terraform by itself.
func bare(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-input=false"}, {"apply", "-auto-approve", "-input=false"}} {
		cmd := exec.Command("terraform", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("terraform: %v\n%s", err, out)
		}
	}
}

func TestOverheadOverBareTerraform(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	var ours, theirs []time.Duration
	for i := range 7 {
		began := time.Now()
		bare(t, t.TempDir())
		theirs = append(theirs, time.Since(began))
		id := fmt.Sprint("b", i)
		began = time.Now()
		c.order(id, two, nil)
		c.succeed(id)
		ours = append(ours, time.Since(began))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	t.Logf("median build %v, bare terraform %v", ours[3], theirs[3])
	// The quickest of each: what else the machine does only adds.
	if over := ours[0] - theirs[0]; over > maxOverhead {
		t.Errorf("a build takes %v longer than terraform by itself, more than %v", over, maxOverhead)
	}
}

// TestEightAtOnce tells how eight builds at once compare with eight bare runs.
func TestEightAtOnce(t *testing.T) {
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	dirs := make([]string, 8)
	for i := range dirs {
		dirs[i] = t.TempDir()
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, dir := range dirs {
		all.Go(func() { bare(t, dir) })
	}
	all.Wait()
	theirs := time.Since(began)
	began = time.Now()
	for i := range dirs {
		c.order(fmt.Sprint("b", i), two, nil)
	}
	for i := range dirs {
		c.succeed(fmt.Sprint("b", i))
	}
	t.Logf("eight builds %v, eight bare runs %v: %.2f ×", time.Since(began), theirs, float64(time.Since(began))/float64(theirs))
}
