package audit

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// quiet is how long a client may have nothing open within a visit: a browser closes its
// connections and comes back, and what it does is no new visit each time.
const quiet = 30 * time.Second

// Visits gather what clients do with connections of which each tells little: all of a
// kind that a client has open at once, or soon after each other, is one entry. Nil
// gathers nothing.
type Visits struct {
	// Tell takes their records; see [Begin].
	Tell func(Record)

	mu   sync.Mutex // guards what follows
	open map[visitor]*visit
}

// visitor is a client that does something of a kind.
type visitor struct {
	host netip.Addr
	kind string
}

type visit struct {
	entry *Entry
	conns int
	over  *time.Timer // nil while there are connections
	left  time.Time   // when the last one ended
}

// Enter says that a client has one connection more, and returns where its bytes are
// counted and what is to be called when it ends.
func (v *Visits) Enter(kind string, client net.Addr) (e *Entry, leave func()) {
	if v == nil {
		return nil, func() {}
	}
	who := visitor{kind: kind}
	if at, err := netip.ParseAddrPort(client.String()); err == nil {
		who.host = at.Addr().Unmap()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.open[who]
	switch {
	case at == nil:
		at = &visit{entry: Begin(v.Tell, kind, client)}
		if v.open == nil {
			v.open = make(map[visitor]*visit)
		}
		v.open[who] = at
	case at.over != nil:
		at.over.Stop() // if it is too late for that, end sees that somebody is there
		at.over = nil
	}
	at.conns++
	return at.entry, func() { v.leave(who, at) }
}

func (v *Visits) leave(who visitor, at *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.conns--; at.conns > 0 || v.open[who] != at {
		return
	}
	at.left = time.Now()
	at.over = time.AfterFunc(quiet, func() { v.end(who, at) })
}

// end ends a visit, unless the client has come back.
func (v *Visits) end(who visitor, at *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.conns == 0 && v.open[who] == at && time.Since(at.left) >= quiet {
		delete(v.open, who)
		at.entry.End(at.left)
	}
}

// Close ends all visits.
func (v *Visits) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, at := range v.open {
		since := time.Now()
		if at.over != nil {
			at.over.Stop()
			since = at.left
		}
		at.entry.End(since)
	}
	clear(v.open)
}
