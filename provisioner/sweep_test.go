package provisioner

import (
	"os"
	"runtime"
	"testing"

	"github.com/google/uuid"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/standin"
)

var testWorkspace = uuid.NewSHA1(uuid.NameSpaceOID, []byte("workspace"))

// A process of which no state knows: its Terraform was killed before it could
// write it down.
func TestProcessWithoutAStateIsSwept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip(process.ErrUnsupported)
	}
	c := newCoordinator(t)
	dir := t.TempDir()
	start(t, c.config(dir))
	host := process.Host{Dir: dir, Binary: standin.Path(t)}
	agent := uuid.New()
	lost := process.Spec{Workspace: testWorkspace, Agent: agent, URL: "https://adit.test", Token: "token"}
	running := func() bool {
		up, err := host.Running(testWorkspace, agent)
		if err != nil {
			t.Fatal(err)
		}
		return up
	}
	for _, transition := range []provisionerv1.Transition{provisionerv1.Transition_STOP, provisionerv1.Transition_DELETE} {
		if err := host.Start(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		if !running() {
			t.Fatal("there is nothing to sweep")
		}
		id := transition.String()
		c.order(id, two, func(j *provisionerv1.Job) { j.GetBuild().Transition = transition })
		c.succeed(id)
		if running() {
			t.Errorf("%v: the process is left", transition)
		}
		_, err := os.Stat(host.Home(testWorkspace))
		if there := err == nil; there != (transition == provisionerv1.Transition_STOP) {
			t.Errorf("%v: the home is there: %v", transition, there)
		}
	}
}
