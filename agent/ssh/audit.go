package ssh

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/ssh"
)

// Kinds of what a [Record] is of.
const (
	KindShell    = "shell"
	KindCommand  = "command"
	KindTerminal = "terminal" // a session by name
	KindSFTP     = "sftp"
	KindSCP      = "scp" // or rsync
	KindForwards = "forwards"
)

// Record is what a client did: a session, or all that one connection forwarded. The
// record of what is under way has no end.
type Record struct {
	ID             uuid.UUID
	Client         net.Addr
	Kind           string
	Started, Ended time.Time
	Rx, Tx         uint64 // from the client, and to it
}

// audited is what a client does.
type audited struct {
	id      uuid.UUID
	kind    string
	client  net.Addr
	tell    func(Record)
	started time.Time
	rx, tx  atomic.Uint64
	end     sync.Once
}

// audit tells that a client does something.
func (s *Server) audit(kind string, client net.Addr) *audited {
	a := &audited{id: uuid.New(), kind: kind, client: client, tell: s.cfg.Audit, started: time.Now()}
	a.say(time.Time{})
	return a
}

func (a *audited) say(ended time.Time) {
	if a.tell != nil {
		a.tell(Record{ID: a.id, Client: a.client, Kind: a.kind, Started: a.started, Ended: ended, Rx: a.rx.Load(), Tx: a.tx.Load()})
	}
}

// done tells that it is over.
func (a *audited) done() { a.end.Do(func() { a.say(time.Now()) }) }

// kindOf says what a session is that is about to start.
func (s *session) kindOf(req *ssh.Request, program string) string {
	switch {
	case req.Type == "subsystem" && program == "sftp":
		return KindSFTP
	case s.named != "":
		return KindTerminal
	case transfers(program):
		return KindSCP
	case program == "":
		return KindShell
	}
	return KindCommand
}

// forwarding is the record of all that the connection forwards.
func (c *connection) forwarding() *audited {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forwarded == nil {
		c.forwarded = c.server.audit(KindForwards, c.RemoteAddr())
	}
	return c.forwarded
}
