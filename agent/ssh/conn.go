package ssh

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/audit"
)

const (
	// handshakeTimeout is how long a client may take to say who it is, as long as
	// sshd gives it.
	handshakeTimeout = 2 * time.Minute

	// maxChannels bounds the channels of a connection, each of which may cost
	// three pipes and a process. An editor has dozens, a SOCKS proxy hundreds.
	maxChannels = 2048
)

// connection is one client's, with all that it has open. What it starts ends with
// ctx, and serveConn waits for it.
type connection struct {
	*ssh.ServerConn
	server *Server
	ctx    context.Context
	wg     sync.WaitGroup
	open   chan struct{} // holds a value for each channel

	mu       sync.Mutex // guards what follows
	forwards map[string]listeners
	agent    *agentSocket
	// forwarded is the record of what is forwarded; nil if nothing was.
	forwarded *audit.Entry
}

// serveConn serves a client until it is gone, and all that it had open is.
func (s *Server) serveConn(nc net.Conn) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(handshakeTimeout)) // a broken connection shows at once
	sc, chans, reqs, err := ssh.NewServerConn(nc, s.ssh)
	if err != nil {
		s.log.Debug("ssh handshake failed", "from", nc.RemoteAddr(), "err", err)
		return
	}
	_ = nc.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(context.Background())
	c := &connection{
		ServerConn: sc, server: s, ctx: ctx, open: make(chan struct{}, maxChannels), forwards: make(map[string]listeners),
	}
	c.wg.Go(func() { c.handleRequests(reqs) })
	c.wg.Go(c.keepAlive)
	for ch := range chans {
		select {
		case c.open <- struct{}{}:
			c.wg.Go(func() {
				c.serveChannel(ch)
				<-c.open
			})
		default:
			_ = ch.Reject(ssh.ResourceShortage, "too many channels")
		}
	}
	cancel()
	c.closeListeners()
	c.wg.Wait()
	if c.forwarded != nil {
		c.forwarded.End(time.Now())
	}
}

func (c *connection) serveChannel(ch ssh.NewChannel) {
	switch ch.ChannelType() {
	case "session":
		c.serveSession(ch)
	case "direct-tcpip", "direct-streamlocal@openssh.com":
		c.forward(ch)
	default:
		_ = ch.Reject(ssh.UnknownChannelType, "there is no such channel here")
	}
}

// handleRequests answers what is asked of the connection as a whole.
func (c *connection) handleRequests(reqs <-chan *ssh.Request) {
	for req := range reqs {
		ok, answer := false, []byte(nil)
		switch req.Type {
		case "tcpip-forward":
			ok, answer = c.listenTCP(req.Payload)
		case "cancel-tcpip-forward":
			ok = c.cancelTCP(req.Payload)
		case "streamlocal-forward@openssh.com":
			ok = c.listenUnix(req.Payload)
		case "cancel-streamlocal-forward@openssh.com":
			ok = c.cancelUnix(req.Payload)
		}
		if req.WantReply {
			// A client that is gone shows as the end of reqs.
			_ = req.Reply(ok, answer)
		}
	}
}

// closeListeners ends what the client had listen here.
func (c *connection) closeListeners() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.forwards {
		l.Close()
	}
	if c.agent != nil {
		c.agent.close()
	}
}

// accept calls serve, in a goroutine each, for the connections of l until it is
// closed.
func (c *connection) accept(l net.Listener, serve func(net.Conn)) {
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { serve(conn) })
		}
	})
}

// offer opens a channel to the client for a connection that was made here, and
// joins the two.
func (c *connection) offer(conn net.Conn, kind string, payload []byte) {
	ch, reqs, err := c.OpenChannel(kind, payload)
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(reqs) // ends with the channel
	c.join(conn, c.countReverse(ch))
}
