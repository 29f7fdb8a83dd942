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

	// terminalOwn is the variable by which a client wants the agent itself to keep the
	// session, and no tmux or screen in between: a browser has a scrollback of its own.
	terminalOwn = "ADIT_TERMINAL_OWN"

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
	attach := s.conn.server.cfg.Terminals.Attach
	if s.own {
		attach = s.conn.server.cfg.Terminals.AttachOwn
	}
	v, err := attach(s.named, s.pty.size(), cmd, command)
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

// askTerminals does what a client asks of the sessions by name.
func (s *Server) askTerminals(_ context.Context, request []string, w io.Writer) error {
	switch {
	case len(request) == 0:
		list := s.cfg.Terminals.List()
		if list == nil {
			list = []pty.Info{}
		}
		return json.NewEncoder(w).Encode(list)
	case len(request) == 2 && request[0] == "kill":
		return s.cfg.Terminals.Kill(request[1])
	}
	return errors.New("want nothing, or kill and a name")
}

// Subsystem answers a client with what it writes; request is what the client says
// behind its name. An error goes to standard error.
type Subsystem func(ctx context.Context, request []string, w io.Writer) error

// subsystem is the one that a client asks for; nil if there is none, and of file
// transfer, which is a program.
func (s *Server) subsystem(asked string) Subsystem {
	name, _, _ := strings.Cut(asked, " ")
	if name == terminalsSubsystem {
		return s.askTerminals
	}
	return s.cfg.Subsystems[name]
}

// serveSubsystem answers a client from within the agent.
func (s *session) serveSubsystem(asked string) {
	code := uint32(0)
	if err := s.conn.server.subsystem(asked)(s.ctx, strings.Fields(asked)[1:], s.ch); err != nil {
		fmt.Fprintln(s.ch.Stderr(), err)
		code = 1
	}
	s.sendExitCode(code)
}
