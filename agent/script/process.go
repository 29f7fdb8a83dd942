package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// termGrace is how long a script may take to end when it is told to.
	termGrace = 5 * time.Second

	// drainGrace is how long output may take to come in once the script has
	// ended. What it left in the background may hold the pipe for ever.
	drainGrace = 500 * time.Millisecond
)

// execute runs a script and calls started, unless that is nil, once it runs, and
// say with each line of its output, also those that come from its background after
// it has ended.
func (r *Runner) execute(ctx context.Context, s sdk.Script, started func(), say func(string)) error {
	cmd, cleanUp, err := command(r.cfg.Shell, s.Script)
	if err != nil {
		return err
	}
	defer cleanUp()
	cmd.Dir, cmd.Env = r.cfg.Dir, r.cfg.Env
	if info, err := os.Stat(cmd.Dir); err != nil || !info.IsDir() {
		cmd.Dir = r.cfg.Home
	}
	family.Apart(cmd)
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, out
	all, err := family.Start(cmd, r.cfg.Start)
	out.Close()
	if err != nil {
		in.Close()
		return err
	}
	defer all.Close()
	read := make(chan struct{})
	r.outputs.readers.Go(func() { // ends with the last process that holds the pipe
		defer close(read)
		r.outputs.read(in, s.Name, say)
	})
	if started != nil {
		started()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = end(all, ended)
	}
	if s.Service || s.RunOn != runOnStart {
		_ = all.Signal(syscall.SIGKILL) // it fails if nothing is left
	}
	select {
	case <-read:
	case <-time.After(drainGrace):
	}
	return err
}

// end ends a script with what it has started: politely, then not.
func end(all *family.Family, ended <-chan error) error {
	_ = all.Signal(syscall.SIGTERM) // it may be gone
	var err error
	select {
	case err = <-ended:
	case <-time.After(termGrace):
		_ = all.Signal(syscall.SIGKILL)
		err = <-ended
	}
	// What the leader left behind goes, too: it ran out of time as well.
	_ = all.Signal(syscall.SIGKILL)
	return errors.Join(err, context.Canceled)
}

// command makes the command for a script: a file of its own if its first line
// names an interpreter, else the shell's.
func command(shell, text string) (*exec.Cmd, func(), error) {
	if !strings.HasPrefix(text, "#!") {
		return exec.Command(shell, "-c", text), func() {}, nil // of PowerShell, too
	}
	if runtime.GOOS == "windows" {
		return nil, nil, errors.New(`scripts with a first line "#!" do not run on Windows; leave it out, and PowerShell runs them`)
	}
	name, err := writeProgram(text)
	if err != nil {
		return nil, nil, fmt.Errorf("write the script: %w", err)
	}
	cleanUp := func() { _ = os.Remove(name) } // a file in the temporary directory harms nobody
	return exec.Command(name), cleanUp, nil
}

// writeProgram writes a temporary file that can be run.
//
// No process starts meanwhile: until it is its own program, a child holds what
// its parent had open, and Linux runs no file that anybody may write to
// (ETXTBSY).
func writeProgram(text string) (name string, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp("", "adit-script-*")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o700), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
