package ssh

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// agentSocket is where programs find the client's SSH agent.
type agentSocket struct {
	net.Listener
	dir string
}

func (a *agentSocket) path() string { return filepath.Join(a.dir, "agent") }

func (a *agentSocket) close() {
	a.Listener.Close()
	_ = os.RemoveAll(a.dir) // an empty directory in the temporary one harms nobody
}

// forwardAgent makes the client's agent known to a session, by one socket for all
// sessions of a connection, in a directory that only its owner can enter.
func (c *connection) forwardAgent() (path string, err error) {
	if c.server.cfg.Policy.NoForwarding {
		return "", errForbidden
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agent != nil {
		return c.agent.path(), nil
	}
	if c.ctx.Err() != nil {
		return "", c.ctx.Err() // nobody would close it
	}
	dir, err := os.MkdirTemp("", "adit-ssh-*")
	if err != nil {
		return "", fmt.Errorf("forward the agent: %w", err)
	}
	a := &agentSocket{dir: dir}
	if a.Listener, err = net.Listen("unix", a.path()); err != nil {
		return "", errors.Join(fmt.Errorf("forward the agent: %w", err), os.Remove(dir))
	}
	c.agent = a
	c.accept(a, func(conn net.Conn) { c.offer(conn, "auth-agent@openssh.com", nil) })
	return a.path(), nil
}
