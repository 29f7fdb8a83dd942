package provisioner

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

const (
	// maxRatio is how much longer eight builds at once may take than eight runs
	// of Terraform by itself.
	maxRatio = 1.2

	// A round is eight runs and eight builds, one after the other, so that what
	// else the machine does falls on both. As long as the median is beyond the bound
	// there are more of them, up to five times as many.
	rounds, mostRounds = 3, 15
)

// agents is a template with what every workspace has but a machine.
const agents = `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
data "adit_workspace" "me" {}
data "adit_owner" "me" {}
data "adit_parameter" "size" {
  name    = "size"
  default = "1"
}
resource "adit_agent" "main" {
  name           = "main"
  startup_script = "echo ${data.adit_parameter.size.value} of ${data.adit_owner.me.name}"
}
resource "terraform_data" "machine" {
  count = data.adit_workspace.me.start_count
  input = adit_agent.main.id
}
`

// TestEightBuildsAtOnceKeepUpWithBareTerraform is of templates that do nothing:
// whatever a template does takes the same with and without a provisioner.
func TestEightBuildsAtOnceKeepUpWithBareTerraform(t *testing.T) {
	for name, template := range map[string]string{"nothing": two, "agents": agents} {
		t.Run(name, func(t *testing.T) {
			c := newCoordinator(t)
			dir := t.TempDir()
			startApart(t, c, dir)
			// As the template is when people make workspaces of it.
			c.order("import", template, anImport)
			lock := c.succeed("import").GetTemplate().GetLockFile()
			build := &provisionerv1.Build{WorkspaceId: testWorkspace.String(), WorkspaceName: "demo", AgentSecret: []byte("agents' secret")}
			raw, err := protojson.Marshal(build)
			if err != nil {
				t.Fatal(err)
			}
			env := []string{
				"TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "terraform", "terraform.tfrc"),
				"ADIT_EXECUTABLE=" + standin.Path(t), "ADIT_BUILD=" + string(raw), "ADIT_DATA_DIR=" + dir,
			}
			var ratios []float64
			median := func() float64 {
				sorted := slices.Sorted(slices.Values(ratios))
				return sorted[len(sorted)/2]
			}
			for len(ratios) < rounds || len(ratios) < mostRounds && median() > maxRatio {
				theirs := eight(func(int) { bare(t, t.TempDir(), template, env...) })
				round := len(ratios)
				ours := eight(func(i int) {
					id := fmt.Sprintf("b%d.%d", round, i)
					c.order(id, template, func(j *provisionerv1.Job) { j.LockFile = lock })
					c.succeed(id)
				})
				ratios = append(ratios, ours.Seconds()/theirs.Seconds())
				t.Logf("eight builds %v, eight bare runs %v: %.2f ×", ours, theirs, ratios[round])
			}
			t.Logf("median of %d rounds: %.2f ×", len(ratios), median())
			if median() > maxRatio {
				t.Errorf("eight builds at once take %.2f times as long as terraform by itself, more than %.1f", median(), maxRatio)
			}
		})
	}
}

// eight does something eight times at once and returns how long that took.
func eight(do func(i int)) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { do(i) })
	}
	all.Wait()
	return time.Since(began)
}
