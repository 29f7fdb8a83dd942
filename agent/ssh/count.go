package ssh

import (
	"io"
	"sync"

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

// countReverse counts a channel that the server opened.
func (s *Server) countReverse(ch ssh.Channel) ssh.Channel {
	return &counted{Channel: ch, use: s.cfg.Tally.Reverse()}
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
