// Package audit tells what clients do in a workspace: who, from where, what, and for
// how long.
//
// What a client does is an [Entry], told of when it begins and when it ends. Many
// short connections are one: see [Visits].
package audit

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Kinds of what a [Record] is of.
const (
	KindShell    = "shell"
	KindCommand  = "command"
	KindTerminal = "terminal" // a session by name
	KindSFTP     = "sftp"
	KindSCP      = "scp" // or rsync
	KindForwards = "forwards"
	KindFiles    = "files" // over HTTP
)

// Record is what a client did: a session, all that one connection of SSH forwarded, or
// a visit. The record of what is under way has no end.
type Record struct {
	ID             uuid.UUID
	Client         net.Addr
	Kind           string
	Started, Ended time.Time
	Rx, Tx         uint64 // from the client, and to it
}

// Entry is what a client does. All of its methods may be called concurrently, and those
// of a nil one do nothing.
type Entry struct {
	id      uuid.UUID
	kind    string
	client  net.Addr
	tell    func(Record)
	started time.Time
	rx, tx  atomic.Uint64
	end     sync.Once
}

// Begin tells that a client does something. Each entry has one End. tell must not
// block; nil is nobody.
func Begin(tell func(Record), kind string, client net.Addr) *Entry {
	e := &Entry{id: uuid.New(), kind: kind, client: client, tell: tell, started: time.Now()}
	e.say(time.Time{})
	return e
}

func (e *Entry) say(ended time.Time) {
	if e.tell != nil {
		e.tell(Record{ID: e.id, Client: e.client, Kind: e.kind, Started: e.started, Ended: ended, Rx: e.rx.Load(), Tx: e.tx.Load()})
	}
}

// In counts bytes from the client, Out those to it.
func (e *Entry) In(n int) {
	if e != nil && n > 0 {
		e.rx.Add(uint64(n))
	}
}

func (e *Entry) Out(n int) {
	if e != nil && n > 0 {
		e.tx.Add(uint64(n))
	}
}

// End tells that it is over, since some time.
func (e *Entry) End(since time.Time) {
	if e != nil {
		e.end.Do(func() { e.say(since) })
	}
}
