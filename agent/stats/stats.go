// Package stats counts what a workspace's agent does and reads what the workspace
// uses, for a report each minute.
//
// A [Tally] is told of sessions as they come; a nil one takes everything and
// counts nothing. [Run] reads it and the machine until its context ends.
package stats

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/aditmesh/adit/agent/audit"
)

// Kind is what a session is.
type Kind int

const (
	// SSH is a shell or a command.
	SSH Kind = iota
	// SFTP is a file transfer, also scp's.
	SFTP
	// Forward is a connection to a port of the workspace, through SSH or straight
	// over the mesh, as from a VPN; or one of the workspace's to a port of a client's
	// machine, see Reverse.
	Forward
	kinds
)

// Tally counts sessions and what goes through them.
type Tally struct {
	// Visits are told of connections; nil is nobody.
	Visits *audit.Visits

	rx, tx atomic.Uint64
	active atomic.Bool

	mu         sync.Mutex // guards what follows
	open, most [kinds]int // now, and at most since the last count
}

// Count is what happened between two counts.
type Count struct {
	// Most are the most sessions at once, by kind.
	Most [kinds]int
	// Rx is from people to the workspace, Tx back.
	Rx, Tx uint64
	// Active says that somebody used the workspace, and did not only have it open.
	Active bool
}

// Count returns what happened since the last one.
func (t *Tally) Count() Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Count{Most: t.most, Rx: t.rx.Swap(0), Tx: t.tx.Swap(0), Active: t.active.Swap(false)}
	t.most = t.open
	return c
}

// Open returns how many sessions there are now.
func (t *Tally) Open() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.open {
		n += k
	}
	return n
}

// Use is one session. Each has one End.
type Use struct {
	tally   *Tally
	kind    Kind
	reverse bool
	entry   *audit.Entry // nil if somebody else tells of it
	leave   func()       // nil without entry
}

// Begin counts a session.
func (t *Tally) Begin(k Kind) Use {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open[k]++
		t.most[k] = max(t.most[k], t.open[k])
	}
	return Use{tally: t, kind: k}
}

// BeginBy counts a session that is a part of a client's visit.
func (t *Tally) BeginBy(k Kind, client net.Addr) Use {
	u := t.Begin(k)
	if t != nil {
		kind := audit.KindForwards
		if k == SFTP {
			kind = audit.KindFiles
		}
		u.entry, u.leave = t.Visits.Enter(kind, client)
	}
	return u
}

// Reverse counts a connection that the workspace opened to a port of a client's
// machine, as a Forward. Its bytes prove nobody: a program asks, and a machine
// answers.
func (t *Tally) Reverse() Use {
	u := t.Begin(Forward)
	u.reverse = true
	return u
}

// End is the session's.
func (u Use) End() {
	if u.leave != nil {
		u.leave()
	}
	if u.tally != nil {
		u.tally.mu.Lock()
		defer u.tally.mu.Unlock()
		u.tally.open[u.kind]--
	}
}

// In counts bytes that came from the client: somebody is there.
func (u Use) In(n int) {
	u.entry.In(n)
	if u.tally != nil && n > 0 {
		u.tally.rx.Add(uint64(n))
		if !u.reverse {
			u.tally.active.Store(true)
		}
	}
}

// Out counts bytes to the client. What a command prints proves nobody; what a
// port or a file is asked for does.
func (u Use) Out(n int) {
	u.entry.Out(n)
	if u.tally != nil && n > 0 {
		u.tally.tx.Add(uint64(n))
		if u.kind != SSH && !u.reverse {
			u.tally.active.Store(true)
		}
	}
}

// Conn counts a client's connection as a session, and as a part of its visit, until it
// is closed.
func (t *Tally) Conn(k Kind, c net.Conn) net.Conn {
	return &conn{Conn: c, use: t.BeginBy(k, c.RemoteAddr())}
}

type conn struct {
	net.Conn
	use  Use
	once sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.use.In(n)
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.use.Out(n)
	return n, err
}

// CloseWrite ends one direction, if the connection has two.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

func (c *conn) Close() error {
	c.once.Do(c.use.End)
	return c.Conn.Close()
}
