package ssh

import (
	"io"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/audit"
	"github.com/aditmesh/adit/agent/stats"
)

// counted is a channel that is counted until it is closed, and of which there is a
// record.
type counted struct {
	ssh.Channel
	use    stats.Use
	record *audit.Entry
	once   sync.Once
}

func (c *connection) count(kind stats.Kind, ch ssh.Channel, record *audit.Entry) ssh.Channel {
	return &counted{Channel: ch, use: c.server.cfg.Tally.Begin(kind), record: record}
}

// countReverse counts a channel that the server opened.
func (c *connection) countReverse(ch ssh.Channel) ssh.Channel {
	return &counted{Channel: ch, use: c.server.cfg.Tally.Reverse(), record: c.forwarding()}
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	c.use.In(n)
	c.record.In(n)
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Channel.Write(p)
	c.use.Out(n)
	c.record.Out(n)
	return n, err
}

func (c *counted) Close() error {
	c.once.Do(c.use.End)
	return c.Channel.Close()
}

func (c *counted) Stderr() io.ReadWriter { return countedStderr{c.Channel.Stderr(), c} }

type countedStderr struct {
	io.ReadWriter
	of *counted
}

func (c countedStderr) Write(p []byte) (int, error) {
	n, err := c.ReadWriter.Write(p)
	c.of.use.Out(n)
	c.of.record.Out(n)
	return n, err
}
