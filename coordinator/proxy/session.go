package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// sshPort is where agents serve SSH on the mesh.
	sshPort = 22

	// sshTimeout bounds a handshake, and how long an agent may take to open a session.
	sshTimeout = 10 * time.Second

	// terminalName is the variable that names the session to look at, and
	// terminalsSubsystem what ends one.
	terminalName       = "ADIT_TERMINAL"
	terminalsSubsystem = "adit-terminals"

	// terminalOwn has the agent keep it: behind tmux the page would have no scrollback.
	terminalOwn = "ADIT_TERMINAL_OWN"

	// terminalType is what the pages' terminals are like.
	terminalType = "xterm-256color"
)

// session looks at a session by name of an agent, over SSH through the tunnel.
type session struct {
	client *ssh.Client
	of     *ssh.Session
	name   string
	out    io.Reader
	in     io.Writer
}

// openSession looks at a session, which is made if there is none of that name.
func (p *Proxy) openSession(ctx context.Context, agent store.Agent, name string, columns, rows uint32) (*session, error) {
	conn, err := p.node.dial(ctx, agent.ID, sshPort)
	if err != nil {
		return nil, err
	}
	// A handshake has no context; what it waits for ends with the connection.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(sshTimeout)) // a broken connection shows at once
	s, err := lookAt(conn, agent, name, columns, rows)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proxy: terminal %s of agent %s: %w", name, agent.ID, err), conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	return s, nil
}

func lookAt(conn net.Conn, agent store.Agent, name string, columns, rows uint32) (*session, error) {
	c, chans, reqs, err := ssh.NewClientConn(conn, agent.Name, &ssh.ClientConfig{
		User: "adit", ClientVersion: "SSH-2.0-adit-browser",
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error { return checkHostKey(agent, key) },
	})
	if err != nil {
		return nil, fmt.Errorf("SSH handshake: %w", err)
	}
	s := &session{client: ssh.NewClient(c, chans, reqs), name: name}
	if s.of, err = s.client.NewSession(); err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	out, err1 := s.of.StdoutPipe()
	in, err2 := s.of.StdinPipe()
	s.out, s.in = out, in
	err = errors.Join(err1, err2,
		s.of.Setenv(terminalName, name), s.of.Setenv(terminalOwn, "1"), s.of.Setenv("COLORTERM", "truecolor"),
		s.of.RequestPty(terminalType, int(rows), int(columns), ssh.TerminalModes{}))
	if err == nil {
		err = s.of.Shell()
	}
	if err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	return s, nil
}

// checkHostKey refuses any key but the one that the coordinator vouches for. Of one
// that it does not know, WireGuard has proven whose it is.
func checkHostKey(agent store.Agent, key ssh.PublicKey) error {
	if agent.HostKey == "" {
		return nil
	}
	known, _, _, _, err := ssh.ParseAuthorizedKey([]byte(agent.HostKey))
	if err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	if !bytes.Equal(known.Marshal(), key.Marshal()) {
		return fmt.Errorf("it answers with the host key %s, and is known by %s", ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(known))
	}
	return nil
}

// Read returns io.EOF only if the session's program has ended.
func (s *session) Read(b []byte) (int, error) {
	n, err := s.out.Read(b)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	var exited *ssh.ExitError
	if ended := s.of.Wait(); ended != nil && !errors.As(ended, &exited) {
		return n, errAway{"The connection to the workspace broke."}
	}
	return n, io.EOF
}

func (s *session) Write(b []byte) (int, error) { return s.in.Write(b) }

func (s *session) Resize(columns, rows uint32) error {
	return s.of.WindowChange(int(rows), int(columns))
}

// End ends the session for everybody.
func (s *session) End() error {
	killer, err := s.client.NewSession()
	if err != nil {
		return fmt.Errorf("proxy: end terminal %s: %w", s.name, err)
	}
	defer killer.Close()
	if err := killer.RequestSubsystem(terminalsSubsystem + " kill " + s.name); err != nil {
		return fmt.Errorf("proxy: end terminal %s: %w", s.name, err)
	}
	return nil
}

// Close leaves the session, which goes on.
func (s *session) Close() error { return s.client.Close() }
