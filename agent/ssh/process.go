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
	"github.com/aditmesh/adit/agent/pty"
)

const (
	// hangupGrace is how long a program may take to end after the hang-up
	// that follows its client's leaving.
	hangupGrace = 5 * time.Second

	// notFound is what shells return for a command that cannot be run.
	notFound = 127
)

// runCommand runs a command, or a login shell for none, and sends how it
// ended.
func (s *session) runCommand(command string) {
	srv := s.conn.server
	shell := srv.cfg.Account.Shell
	cmd := exec.Command(shell)
	if command == "" {
		cmd.Args = []string{loginName(shell)}
	} else {
		cmd.Args = []string{filepath.Base(shell), "-c", command}
	}
	cmd.Env, cmd.Dir = s.environ(), srv.directory()

	var err error
	switch {
	case s.named != "":
		err = s.runNamed(cmd, command)
	case s.tty != nil:
		err = s.runOnTerminal(cmd)
	default:
		err = s.runOnPipes(cmd)
	}
	s.sendExit(shell, err)
}

// sendExit tells the client how a program ended. It comes before the end of the
// output, upon which a client that has nothing more to say closes the channel.
func (s *session) sendExit(program string, err error) {
	defer func() { _ = s.ch.CloseWrite() }() // a client that is gone does not miss it
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
		fmt.Fprintf(s.ch.Stderr(), "adit: cannot run %s: %v\r\n", program, err)
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
func (s *session) setProcess(p *pty.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = p
}

// wait waits for a program, and hangs up on it when the client leaves first. What
// it has started and told to stay in spite of that, as nohup does, stays.
func (s *session) wait(p *pty.Process) error {
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
			_ = p.Kill()
		}
	})
	err := p.Wait()
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
	all, err := family.Start(cmd, s.conn.server.cfg.Start)
	outW.Close()
	errW.Close()
	if err != nil {
		return err
	}
	p := &pty.Process{Family: all, Wait: cmd.Wait, Kill: cmd.Process.Kill}
	s.setProcess(p)

	go func() { // ends with the channel, which our caller closes
		defer stdin.Close()
		_, _ = io.Copy(stdin, s.ch)
	}()
	var output sync.WaitGroup
	output.Go(func() { drain(s.ch, outR) })
	output.Go(func() { drain(s.ch.Stderr(), errR) })
	err = s.wait(p)
	wake(outR)
	wake(errR)
	output.Wait()
	return err
}

// runOnTerminal runs cmd as the leader of a session on the terminal.
func (s *session) runOnTerminal(cmd *exec.Cmd) error {
	p, err := s.tty.Start(cmd, s.conn.server.cfg.Start)
	if err != nil {
		return err
	}
	s.setProcess(p)

	go func() { _, _ = io.Copy(s.tty, s.ch) }() // ends with the channel, which our caller closes
	var output sync.WaitGroup
	output.Go(func() { s.tty.CopyTo(s.ch) })
	err = s.wait(p)
	s.tty.End()
	output.Wait()
	s.tty.Close()
	return err
}

// drain copies output until its end, or until wake says that its program has ended:
// then it takes what the program has left, and no more, for what it left running
// may hold the output open for ever.
func drain(w io.Writer, r *os.File) {
	write := func(p []byte) {
		if _, err := w.Write(p); err != nil {
			// The client is gone. Read on, so that the program gets to
			// hear of it by a hang-up and not by a pipe that is full.
			w = io.Discard
		}
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			write(buf[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			takeRest(r, buf, write)
			return
		}
		if err != nil {
			return
		}
	}
}

// wake ends a read that waits, and the next one.
func wake(r *os.File) { _ = r.SetReadDeadline(time.Unix(1, 0)) } // what has no deadline ends by itself
