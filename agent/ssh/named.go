package ssh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/aditmesh/adit/agent/pty"
)

const (
	// terminalName is the variable by which a client says which session it wants
	// to look at: any can send one.
	terminalName = "ADIT_TERMINAL"

	// terminalsSubsystem lists the sessions that there are, as JSON, and followed by
	// "kill" and a name it ends one.
	terminalsSubsystem = "adit-terminals"
)

// errNoTerminal is a session by name for a client that has no terminal.
var errNoTerminal = errors.New("a session by name needs a terminal (ssh -t)")

// runNamed looks at the session by the client's name until its program has ended or
// the client has left, which the session outlives.
func (s *session) runNamed(cmd *exec.Cmd, command string) error {
	if s.tty == nil {
		return errNoTerminal
	}
	s.tty.Close() // the session has one of its own
	s.mu.Lock()
	v, err := s.conn.server.cfg.Terminals.Attach(s.named, s.pty.size(), cmd, command)
	s.viewer = v
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer v.Close()
	stop := context.AfterFunc(s.ctx, func() { v.Close() })
	defer stop()
	go func() { _, _ = io.Copy(v, s.ch) }() // ends with the channel, which our caller closes
	_, err = io.Copy(s.ch, v)
	if err != nil || s.ctx.Err() != nil {
		return nil // the client has left
	}
	return v.Wait()
}

// serveTerminals does what a client asks of the sessions by name.
func (s *session) serveTerminals(request string) {
	var err error
	switch f := strings.Fields(request); {
	case len(f) == 1:
		list := s.conn.server.cfg.Terminals.List()
		if list == nil {
			list = []pty.Info{}
		}
		err = json.NewEncoder(s.ch).Encode(list)
	case len(f) == 3 && f[1] == "kill":
		err = s.conn.server.cfg.Terminals.Kill(f[2])
	default:
		err = errors.New("want nothing, or kill and a name")
	}
	code := uint32(0)
	if err != nil {
		fmt.Fprintln(s.ch.Stderr(), err)
		code = 1
	}
	s.sendExitCode(code)
}
