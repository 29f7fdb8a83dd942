package provisioner

import (
	"strings"
	"testing"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

// A workspace's life with OpenTofu, whose registry is another.
func TestBuildsByOpenTofu(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Exec, cfg.Terraform.Adit = standin.OpenTofu(t), standin.Path(t)
	start(t, cfg)
	c.order("import", agents, anImport)
	imported := c.succeed("import").GetTemplate()
	if len(imported.GetAgents()) != 1 || len(imported.GetParameters()) != 1 || strings.Contains(string(imported.GetLockFile()), "adit/adit") {
		t.Errorf("the import found %v", imported)
	}
	before := ""
	for _, step := range []struct {
		id        string
		to        provisionerv1.Transition
		resources int
	}{
		{"create", provisionerv1.Transition_START, 5},
		{"stop", provisionerv1.Transition_STOP, 4},
		{"start", provisionerv1.Transition_START, 5},
		{"delete", provisionerv1.Transition_DELETE, 0},
	} {
		c.note(func() { c.states[step.id] = c.states[before] })
		c.order(step.id, agents, func(j *provisionerv1.Job) {
			j.LockFile = imported.GetLockFile()
			j.GetBuild().Transition = step.to
		})
		c.succeed(step.id)
		if got := resourcesIn(t, c.state(step.id)); got != step.resources {
			t.Errorf("after %s the state has %d resources, want %d", step.id, got, step.resources)
		}
		c.awaitLog(step.id, "Initialized as an earlier job was")
		before = step.id
	}
}

func TestEightBuildsByOpenTofuFillAColdCache(t *testing.T) {
	fillColdCache(t, standin.OpenTofu(t), standinMirror(t), needsOne, needsBoth)
}
