package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
)

// How agents are asked for a session by name, and to end one: see agent/ssh.
const (
	nameVariable  = "ADIT_TERMINAL"
	killSubsystem = "adit-terminals kill "

	// ownVariable has the agent keep it: behind tmux the page would have no scrollback.
	ownVariable = "ADIT_TERMINAL_OWN"

	// likeXterm is what the pages' terminals are.
	likeXterm = "xterm-256color"
)

// ErrBroken is that a session cannot be reached any more, and may be still there.
var ErrBroken = errors.New("terminal: the connection to the session broke")

// OverSSH is a session by name of an agent, looked at over SSH.
type OverSSH struct {
	client *ssh.Client
	of     *ssh.Session
	name   string
	out    io.Reader
	in     io.Writer
}

var _ Session = (*OverSSH)(nil)

// LookOverSSH looks at a session, which is made if there is none of that name. It has
// no time limit but conn's, which is the caller's also if it fails.
func LookOverSSH(conn net.Conn, at At, check ssh.HostKeyCallback) (*OverSSH, error) {
	c, chans, reqs, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{User: "adit", ClientVersion: "SSH-2.0-adit-browser", HostKeyCallback: check})
	if err != nil {
		return nil, fmt.Errorf("terminal: SSH handshake: %w", err)
	}
	s := &OverSSH{client: ssh.NewClient(c, chans, reqs), name: at.Session}
	if s.of, err = s.client.NewSession(); err != nil {
		return nil, fmt.Errorf("terminal: session %s: %w", at.Session, errors.Join(err, s.client.Close()))
	}
	out, err1 := s.of.StdoutPipe()
	in, err2 := s.of.StdinPipe()
	s.out, s.in = out, in
	err = errors.Join(err1, err2,
		s.of.Setenv(nameVariable, at.Session), s.of.Setenv(ownVariable, "1"), s.of.Setenv("COLORTERM", "truecolor"),
		s.of.RequestPty(likeXterm, int(at.Rows), int(at.Columns), ssh.TerminalModes{}))
	if err == nil {
		err = s.of.Shell()
	}
	if err != nil {
		return nil, fmt.Errorf("terminal: session %s: %w", at.Session, errors.Join(err, s.client.Close()))
	}
	return s, nil
}

// Read returns io.EOF only if the session's program has ended.
func (s *OverSSH) Read(b []byte) (int, error) {
	n, err := s.out.Read(b)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	var exited *ssh.ExitError
	if ended := s.of.Wait(); ended != nil && !errors.As(ended, &exited) {
		return n, ErrBroken
	}
	return n, io.EOF
}

// Write types.
func (s *OverSSH) Write(b []byte) (int, error) { return s.in.Write(b) }

// Flush waits until the agent has what was typed: it answers what is asked after that.
func (s *OverSSH) Flush(ctx context.Context) {
	answered := make(chan struct{})
	go func() { // ends with the connection, if not before
		defer close(answered)
		_, _, _ = s.client.SendRequest("keepalive@openssh.com", true, nil)
	}()
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// Resize gives the session's terminal another size, as far as others who look at it let.
func (s *OverSSH) Resize(columns, rows uint32) error {
	return s.of.WindowChange(int(rows), int(columns))
}

// End ends the session for everybody.
func (s *OverSSH) End() error {
	killer, err := s.client.NewSession()
	if err != nil {
		return fmt.Errorf("terminal: end session %s: %w", s.name, err)
	}
	defer killer.Close()
	if err := killer.RequestSubsystem(killSubsystem + s.name); err != nil {
		return fmt.Errorf("terminal: end session %s: %w", s.name, err)
	}
	return nil
}

// Close leaves the session, which goes on.
func (s *OverSSH) Close() error { return s.client.Close() }
