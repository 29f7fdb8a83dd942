package provisioner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// maxOverhead is how much longer a build may take than Terraform by itself.
const maxOverhead = 1300 * time.Millisecond

// bare runs Terraform by itself, as people do on the same files.
func bare(t *testing.T, dir, main string, env ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-input=false"}, {"apply", "-auto-approve", "-input=false"}} {
		cmd := exec.Command("terraform", args...)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=/dev/null"), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("terraform: %v\n%s", err, out)
		}
	}
}

func TestOverheadOverBareTerraform(t *testing.T) {
	c := newCoordinator(t)
	startApart(t, c, t.TempDir())
	var ours, theirs []time.Duration
	for i := range 7 {
		began := time.Now()
		bare(t, t.TempDir(), two)
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
