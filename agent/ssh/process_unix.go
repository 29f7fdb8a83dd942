//go:build unix

package ssh

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/creack/pty"

	"github.com/aditmesh/adit/agent/family"
)

// loginName is what a shell is called that is to be a login shell.
func loginName(shell string) string { return "-" + filepath.Base(shell) }

// signalNumbers are the signals of RFC 4254, section 6.10.
var signalNumbers = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
	"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
	"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

// leave leaves what a program left in the background to itself.
func leave(all *family.Family) { all.Close() }

// terminal is the near end of a terminal.
type terminal struct{ in, out *os.File }

// end lets its reader go once what is left has been read.
func (t *terminal) end() { wake(t.out) }

func (t *terminal) close() { t.out.Close() }

// startOnTerminal starts cmd as the leader of a session on a new terminal.
func startOnTerminal(cmd *exec.Cmd, size windowChange) (*terminal, *process, error) {
	tty, slave, err := pty.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	defer slave.Close()
	resize := func(w windowChange) error {
		return pty.Setsize(tty, &pty.Winsize{Rows: uint16(w.Rows), Cols: uint16(w.Columns), X: uint16(w.Width), Y: uint16(w.Height)})
	}
	if err := resize(size); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("size the terminal: %w", err), tty.Close())
	}
	cmd.Env = append(cmd.Env, "SSH_TTY="+slave.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(err, tty.Close())
	}
	all, err := family.Of(cmd.Process)
	if err != nil {
		return nil, nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), tty.Close())
	}
	return &terminal{in: tty, out: tty}, &process{Family: all, wait: cmd.Wait, resize: resize}, nil
}
