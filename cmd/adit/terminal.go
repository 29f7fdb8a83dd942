package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// runInteractive runs a command, or a login shell for none, on a terminal. The
// local one, if there is one, is raw meanwhile.
func runInteractive(ctx context.Context, a *app, client *ssh.Client, s *ssh.Session, line string) error {
	width, height := 80, 24
	input := a.in
	var hungUp atomic.Bool
	if f, ok := a.in.(*os.File); ok && isTerminal(f) {
		fd := int(f.Fd())
		if w, h, err := term.GetSize(fd); err == nil {
			width, height = w, h
		}
		old, err := term.MakeRaw(fd)
		if err != nil {
			return fmt.Errorf("make the terminal raw: %w", err)
		}
		defer func() { _ = term.Restore(fd, old) }() // nothing can be done about a failure
		defer understandEscapes()()
		resized := followSize(fd, s)
		defer resized()
		input = &escapes{in: a.in, hangUp: func() {
			hungUp.Store(true)
			fmt.Fprint(a.err, "\r\nDisconnected.\r\n")
			client.Close()
		}}
	}
	name := os.Getenv("TERM")
	if name == "" {
		name = "xterm-256color"
	}
	if err := s.RequestPty(name, height, width, ssh.TerminalModes{}); err != nil {
		return fmt.Errorf("open a terminal in the workspace: %w", err)
	}
	err := startSession(ctx, a, s, line, input)
	if hungUp.Load() {
		return exitError(sshLost) // and that was said
	}
	return err
}

// followSize passes changes of the terminal's size on until its result is
// called.
func followSize(fd int, s *ssh.Session) (stop func()) {
	changed, forget := sizeChanges()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-changed:
				if w, h, err := term.GetSize(fd); err == nil {
					_ = s.WindowChange(h, w) // a session that ended needs no size
				}
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		forget()
	}
}

// escapes watches what is typed for "~." at the beginning of a line, which
// hangs up, and "~~", which is one tilde, as OpenSSH has it. It works when
// nothing else does any more.
type escapes struct {
	in     io.Reader
	hangUp func()

	middle bool // of a line
	tilde  bool // one was typed at the beginning of a line and is held back
}

func (e *escapes) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	// A tilde held back may come on top of what is read.
	buf := make([]byte, len(p)/2)
	for {
		n, err := e.in.Read(buf)
		out := p[:0]
		for _, b := range buf[:n] {
			var end bool
			if out, end = e.step(out, b); end {
				e.hangUp()
				return len(out), io.EOF
			}
		}
		if len(out) > 0 || err != nil {
			return len(out), err
		}
	}
}

// step takes one byte typed and appends what to send for it.
func (e *escapes) step(out []byte, b byte) (_ []byte, hangUp bool) {
	if e.tilde {
		e.tilde = false
		switch b {
		case '.':
			return out, true
		case '~':
			e.middle = true
			return append(out, '~'), false
		}
		out = append(out, '~')
	} else if b == '~' && !e.middle {
		e.tilde = true
		return out, false
	}
	e.middle = b != '\r' && b != '\n'
	return append(out, b), false
}
