//go:build unix

package pty

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/aditmesh/adit/agent/family"
)

const (
	// restGrace is how long a terminal may take to pass on what its program wrote
	// last: the kernel does it a moment later.
	restGrace = 50 * time.Millisecond

	// maxRest and maxRestTime bound what is taken once the program has ended: more
	// comes from what it has left running, which may say little at a time for ever.
	maxRest     = 1 << 20
	maxRestTime = 2 * time.Second
)

// Terminal is the near end of a terminal.
type Terminal struct {
	near *os.File
	far  *os.File // until it is started
}

// Open opens a terminal of a size and, as far as they are known here, with the
// modes of another, as RFC 4254, section 8, writes them.
func Open(size Size, modes string) (*Terminal, error) {
	near, far, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("pty: open a terminal: %w", err)
	}
	if near, err = pollable(near); err != nil {
		return nil, errors.Join(fmt.Errorf("pty: open a terminal: %w", err), far.Close())
	}
	t := &Terminal{near: near, far: far}
	if err := errors.Join(t.Resize(size), setModes(near, modes)); err != nil {
		return nil, errors.Join(fmt.Errorf("pty: set a terminal up: %w", err), t.Close())
	}
	return t, nil
}

// Resize gives the terminal another size, and tells its program.
func (t *Terminal) Resize(s Size) error {
	raw, err := t.near.SyscallConn()
	if err != nil {
		return err
	}
	size := &unix.Winsize{Row: uint16(s.Rows), Col: uint16(s.Columns), Xpixel: uint16(s.Width), Ypixel: uint16(s.Height)}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
	return errors.Join(err, set)
}

// Start starts cmd, by way of start, as the leader of a session on the terminal.
func (t *Terminal) Start(cmd *exec.Cmd, start family.Starter) (*Process, error) {
	defer t.far.Close()
	cmd.Env = append(cmd.Env, "SSH_TTY="+t.far.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.far, t.far, t.far
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	all, err := family.Start(cmd, start)
	if err != nil {
		return nil, err
	}
	return &Process{Family: all, Wait: cmd.Wait, Kill: cmd.Process.Kill}, nil
}

// Write types.
func (t *Terminal) Write(p []byte) (int, error) { return t.near.Write(p) }

// CopyTo passes on what comes out until all programs have let go of the terminal,
// or, once End was called, until it pauses: what was left running may hold it for
// ever.
func (t *Terminal) CopyTo(w io.Writer) {
	if !errors.Is(copyAll(w, t.near), os.ErrDeadlineExceeded) {
		return
	}
	buf := make([]byte, 32<<10)
	began := time.Now()
	for taken := 0; taken < maxRest && time.Since(began) < maxRestTime && t.near.SetReadDeadline(time.Now().Add(restGrace)) == nil; {
		n, err := t.near.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		taken += n
	}
}

// End lets CopyTo go once what is left has been read, and ends a Write that waits.
// The program has ended.
func (t *Terminal) End() {
	_ = t.near.SetDeadline(time.Unix(1, 0)) // where there is no deadline, the far end closes
}

// Close takes the terminal from all programs that have it.
func (t *Terminal) Close() error {
	t.far.Close() // it may be closed already
	return t.near.Close()
}
