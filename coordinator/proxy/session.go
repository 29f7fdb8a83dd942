package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/terminal"
)

const (
	// sshPort is where agents serve SSH on the mesh.
	sshPort = 22

	// sshTimeout bounds a handshake, and how long an agent may take to open a session.
	sshTimeout = 10 * time.Second
)

// openSession looks at a session of an agent, over SSH through the tunnel.
func (p *Proxy) openSession(ctx context.Context, agent store.Agent, at terminal.At) (*terminal.OverSSH, error) {
	conn, err := p.node.dial(ctx, agent.ID, sshPort)
	if err != nil {
		return nil, err
	}
	// A handshake has no context; what it waits for ends with the connection.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(sshTimeout)) // a broken connection shows at once
	s, err := terminal.LookOverSSH(conn, at, func(_ string, _ net.Addr, key ssh.PublicKey) error { return checkHostKey(agent, key) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proxy: agent %s: %w", agent.ID, err), conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
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
