package ssh

import (
	"io"
	"sync"

	gssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/stats"
)

// counted is a channel that is counted until it is closed.
type counted struct {
	ssh.Channel
	use  stats.Use
	once sync.Once
}

func (s *Server) count(kind stats.Kind, ch ssh.Channel) ssh.Channel {
	return &counted{Channel: ch, use: s.cfg.Tally.Begin(kind)}
}

// countReverse has a handler of -R open its channels on a connection that counts
// them.
func (s *Server) countReverse(h gssh.RequestHandler) gssh.RequestHandler {
	return func(ctx gssh.Context, srv *gssh.Server, req *ssh.Request) (bool, []byte) {
		return h(reverseContext{ctx, s.cfg.Tally}, srv, req)
	}
}

type reverseContext struct {
	gssh.Context
	tally *stats.Tally
}

func (c reverseContext) Value(key any) any {
	v := c.Context.Value(key)
	if conn, ok := v.(*ssh.ServerConn); ok {
		return &ssh.ServerConn{Conn: reverseConn{conn.Conn, c.tally}, Permissions: conn.Permissions}
	}
	return v
}

// reverseConn counts the channels that the server opens.
type reverseConn struct {
	ssh.Conn
	tally *stats.Tally
}

func (c reverseConn) OpenChannel(name string, data []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	ch, reqs, err := c.Conn.OpenChannel(name, data)
	if err != nil {
		return nil, nil, err
	}
	return &counted{Channel: ch, use: c.tally.Reverse()}, reqs, nil
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	c.use.In(n)
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Channel.Write(p)
	c.use.Out(n)
	return n, err
}

func (c *counted) Close() error {
	c.once.Do(c.use.End)
	return c.Channel.Close()
}

func (c *counted) Stderr() io.ReadWriter { return countedStderr{c.Channel.Stderr(), c.use} }

type countedStderr struct {
	io.ReadWriter
	use stats.Use
}

func (c countedStderr) Write(p []byte) (int, error) {
	n, err := c.ReadWriter.Write(p)
	c.use.Out(n)
	return n, err
}

// handleForward carries a connection that the client opened (-L, -D, -W).
func (s *Server) handleForward(srv *gssh.Server, conn *ssh.ServerConn, newChan ssh.NewChannel, ctx gssh.Context) {
	gssh.DirectTCPIPHandler(srv, conn, countedForward{newChan, s}, ctx)
}

// countedForward is counted once it is accepted, which it is when the other end
// was reached.
type countedForward struct {
	ssh.NewChannel
	server *Server
}

func (f countedForward) Accept() (ssh.Channel, <-chan *ssh.Request, error) {
	ch, reqs, err := f.NewChannel.Accept()
	if err != nil {
		return nil, nil, err
	}
	return f.server.count(stats.Forward, ch), reqs, nil
}
