package ssh

import (
	"net"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/audit"
)

// audit tells that a client does something.
func (s *Server) audit(kind string, client net.Addr) *audit.Entry {
	return audit.Begin(s.cfg.Audit, kind, client)
}

// kindOf says what a session is that is about to start.
func (s *session) kindOf(req *ssh.Request, program string) string {
	switch {
	case req.Type == "subsystem" && program == "sftp":
		return audit.KindSFTP
	case s.named != "":
		return audit.KindTerminal
	case transfers(program):
		return audit.KindSCP
	case program == "":
		return audit.KindShell
	}
	return audit.KindCommand
}

// forwarding is the record of all that the connection forwards.
func (c *connection) forwarding() *audit.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forwarded == nil {
		c.forwarded = c.server.audit(audit.KindForwards, c.RemoteAddr())
	}
	return c.forwarded
}
