package terraform

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// maxComplaint is how much is kept of what Terraform writes to its standard
// error: what goes wrong it tells as JSON, unless it crashes, and then the
// beginning says why.
const maxComplaint = 8 << 10

// command runs Terraform once in the job's directory. When ctx is done it is
// interrupted. terraform-exec does the same, after it has started Terraform once
// more to ask for its version.
func (r *Run) command(ctx context.Context, out io.Writer, args ...string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, r.exec.path, args...)
	cmd.Dir, cmd.Env = r.cfg.Dir, r.env
	apart(cmd)
	if runtime.GOOS != "windows" { // which knows no interrupt
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	}
	// Killing is ours: all that the job started goes at once. This one is for
	// hosts on which that cannot be found.
	cmd.WaitDelay = r.in.cfg.Grace + time.Second
	var complaint beginning
	if err := piped(cmd, out, &complaint); err != nil {
		return fmt.Errorf("%w\n%s", err, complaint.String())
	}
	return nil
}

// piped runs a command with pipes to where its output goes.
func piped(cmd *exec.Cmd, out, complaint io.Writer) error {
	stdout, err := newPipe(out)
	if err != nil {
		return err
	}
	defer stdout.close(cmd.WaitDelay)
	stderr, err := newPipe(complaint)
	if err != nil {
		return err
	}
	defer stderr.close(cmd.WaitDelay)
	cmd.Stdout, cmd.Stderr = stdout.to, stderr.to
	if err := cmd.Start(); err != nil {
		return err
	}
	stdout.given()
	stderr.given()
	return cmd.Wait()
}

// beginning keeps the first maxComplaint bytes of what is written.
type beginning struct{ strings.Builder }

func (b *beginning) Write(p []byte) (int, error) {
	b.Builder.Write(p[:min(len(p), maxComplaint-b.Len())])
	return len(p), nil
}
