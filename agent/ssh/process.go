package ssh

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/family"
)

const (
	// hangupGrace is how long a program may take to end after the hang-up
	// that follows its client's leaving.
	hangupGrace = 5 * time.Second

	// drainGrace is how long output may pause, once the program has ended,
	// before it counts as complete. A background process that holds the pipe
	// does not hold the session longer.
	drainGrace = 500 * time.Millisecond

	// notFound is what shells return for a command that cannot be run.
	notFound = 127
)

// process is a program that runs, with what it has started.
type process struct {
	*family.Family
	wait   func() error
	resize func(windowChange) error // nil without a terminal
}

// runCommand runs a command, or a login shell for none, and sends how it
// ended.
func (s *session) runCommand(command string) {
	shell := s.server.cfg.Account.Shell
	cmd := exec.Command(shell)
	if command == "" {
		cmd.Args = []string{loginName(shell)}
	} else {
		cmd.Args = []string{filepath.Base(shell), "-c", command}
	}
	cmd.Env, cmd.Dir = s.environ(), s.server.directory()

	var err error
	if s.pty != nil {
		err = s.runOnTerminal(cmd)
	} else {
		err = s.runOnPipes(cmd)
	}
	s.sendExit(err)
}

// sendExit tells the client how the program ended.
func (s *session) sendExit(err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		s.sendExitCode(0)
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			s.sendExitSignal(ws)
			return
		}
		s.sendExitCode(uint32(exit.ExitCode()))
	default:
		fmt.Fprintf(s.ch.Stderr(), "adit: cannot run %s: %v\r\n", s.server.cfg.Account.Shell, err)
		s.sendExitCode(notFound)
	}
}

func (s *session) sendExitCode(code uint32) {
	// A client that is gone does not miss it.
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(&struct{ Status uint32 }{code}))
}

func (s *session) sendExitSignal(ws syscall.WaitStatus) {
	name := "KILL"
	for n, sig := range signalNumbers {
		if sig == ws.Signal() {
			name = n
		}
	}
	_, _ = s.ch.SendRequest("exit-signal", false, ssh.Marshal(&struct {
		Name    string
		Dumped  bool
		Message string
		Lang    string
	}{name, ws.CoreDump(), ws.Signal().String(), ""}))
}

// setProcess makes p the session's, to be resized and signalled; nil when it
// has ended.
func (s *session) setProcess(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = p
}

// wait waits for a program, and hangs up on it when the client leaves first.
func (s *session) wait(p *process) error {
	ended := make(chan struct{})
	var hangup sync.WaitGroup
	hangup.Go(func() {
		select {
		case <-ended:
			return
		case <-s.ctx.Done():
		}
		_ = p.Signal(syscall.SIGHUP) // it may be gone by now
		select {
		case <-ended:
		case <-time.After(hangupGrace):
			_ = p.Signal(syscall.SIGKILL)
		}
	})
	err := p.wait()
	s.setProcess(nil) // before its pid can be another's
	close(ended)
	hangup.Wait()
	leave(p.Family)
	return err
}

// runOnPipes runs cmd with three pipes.
func (s *session) runOnPipes(cmd *exec.Cmd) error {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer outR.Close()
	errR, errW, err := os.Pipe()
	if err != nil {
		outW.Close()
		return err
	}
	defer errR.Close()
	cmd.Stdout, cmd.Stderr = outW, errW
	family.Apart(cmd)
	err = cmd.Start()
	outW.Close()
	errW.Close()
	if err != nil {
		return err
	}
	all, err := family.Of(cmd.Process)
	if err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	p := &process{Family: all, wait: cmd.Wait}
	s.setProcess(p)

	go func() { // ends with the channel, which our caller closes
		defer stdin.Close()
		_, _ = io.Copy(stdin, s.ch)
	}()
	ended := make(chan struct{})
	var output sync.WaitGroup
	output.Go(func() { drain(s.ch, outR, ended) })
	output.Go(func() { drain(s.ch.Stderr(), errR, ended) })
	err = s.wait(p)
	close(ended)
	wake(outR)
	wake(errR)
	output.Wait()
	_ = s.ch.CloseWrite() // EOF before the exit status, as OpenSSH sends it
	return err
}

// drain copies a pipe's output until its end; once ended is closed, until it
// pauses for drainGrace.
func drain(w io.Writer, r *os.File, ended <-chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		select {
		case <-ended:
			wake(r)
		default:
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				// The client is gone. Read on, so that the program gets to
				// hear of it by a hang-up and not by a pipe that is full.
				w = io.Discard
			}
		}
		if err != nil {
			return
		}
	}
}

// wake gives a read that waits, and the next one, drainGrace to finish.
func wake(r *os.File) { _ = r.SetReadDeadline(time.Now().Add(drainGrace)) }

// runOnTerminal runs cmd as the leader of a session on a new terminal.
func (s *session) runOnTerminal(cmd *exec.Cmd) error {
	s.mu.Lock()
	size := windowChange{s.pty.Columns, s.pty.Rows, s.pty.Width, s.pty.Height}
	s.mu.Unlock()
	tty, p, err := startOnTerminal(cmd, size)
	if err != nil {
		return err
	}
	s.setProcess(p)

	go func() { _, _ = io.Copy(tty.in, s.ch) }() // ends with the channel, which our caller closes
	ended := make(chan struct{})
	var output sync.WaitGroup
	output.Go(func() { drain(s.ch, tty.out, ended) })
	err = s.wait(p)
	close(ended)
	tty.end()
	output.Wait()
	tty.close()
	return err
}
