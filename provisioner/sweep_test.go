package provisioner

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/uuid"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/tfprovider"
)

var testWorkspace = uuid.NewSHA1(uuid.NameSpaceOID, []byte("workspace"))

// supervise plays adit, if this process was started as a supervisor, an agent or the
// provider.
func supervise() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case tfprovider.Command:
		if tfprovider.Serve(context.Background(), "0.0.1") != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case process.SuperviseCommand:
		if process.Supervise(os.Args[2]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "agent":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		<-term
		os.Exit(0)
	}
}

// A process of which no state knows: its Terraform was killed before it could
// write it down.
func TestProcessWithoutAStateIsSwept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip(process.ErrUnsupported)
	}
	c := newCoordinator(t)
	dir := t.TempDir()
	start(t, c.config(dir))
	host := process.Host{Dir: dir, Binary: os.Args[0]}
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
