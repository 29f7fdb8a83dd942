// Package terminal is how a page in a browser and the end that has a session of a
// workspace speak, over whatever carries messages between them: a WebSocket through
// the coordinator, or a data channel.
//
// Binary messages are what is typed, one way, and what is shown, the other. Text
// messages are a [Message] each, in JSON. Of either direction no more than [Window]
// bytes are under way: an end that has taken some says so. So a program that writes
// for ever fills no memory, an interrupt shows at once, and what is pasted is not
// lost while the program does not read. What was typed is said to be taken at once,
// and what a page typed before it left is typed: a page that goes on by another way
// knows what it has to type there.
//
// [Serve] is the session's end.
package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// Window is how many bytes may be under way in a direction: some 20 ms of what a
	// browser shows at its fastest, and more than a distant one asks for meanwhile.
	Window = 512 << 10

	// MaxMessage bounds a message: Window, and the page sends smaller ones.
	MaxMessage = Window

	// tellEvery is how much an end takes before it says so.
	tellEvery = Window / 8

	// chunk is how much of the output goes into a message.
	chunk = 32 << 10

	// settleFor bounds how long a session is given for what was typed before the page
	// left: a program that reads needs a fraction of it.
	settleFor = 2 * time.Second

	// maxSide bounds a terminal: larger ones are mistakes that cost memory.
	maxSide = 10_000
)

// Kinds of text messages.
const (
	KindSize   = "size"   // from the page: the terminal has another size
	KindTook   = "took"   // from both: bytes that were taken since it was last said
	KindPing   = "ping"   // from the page, which wants to know whether anybody is there
	KindPong   = "pong"   // the answer, with how the session is reached
	KindEnd    = "end"    // from the page: the session is to end, for everybody
	KindExit   = "exit"   // to the page: the session has ended
	KindFailed = "failed" // to the page: there is no session, or it cannot be reached
)

// Message is a text message.
type Message struct {
	Kind    string `json:"kind"`
	Columns uint32 `json:"columns,omitempty"`
	Rows    uint32 `json:"rows,omitempty"`
	Bytes   int    `json:"bytes,omitempty"`
	// Path and RTTMs are how packets travel between this end and the workspace; empty
	// where this end is in it.
	Path  string  `json:"path,omitempty"`
	RTTMs float64 `json:"rtt_ms,omitempty"`
	// Text says why it failed, and Again that it may work in a moment.
	Text  string `json:"text,omitempty"`
	Again bool   `json:"again,omitempty"`
}

// Conn carries messages. Its methods may be called concurrently, each by one goroutine
// at a time but for Write.
type Conn interface {
	Read(ctx context.Context) (text bool, p []byte, err error)
	Write(ctx context.Context, text bool, p []byte) error
}

// Session is what the page looks at. Read returns io.EOF once its program has ended,
// and any other error if it cannot be reached any more.
type Session interface {
	io.ReadWriter
	Resize(columns, rows uint32) error
	// Flush waits until what was written has come to the session, or ctx is done.
	Flush(ctx context.Context)
	// End ends it for everybody who looks at it.
	End() error
}

// ErrProtocol is a page that does not speak as it should.
var ErrProtocol = errors.New("terminal: what the page sent makes no sense")

// errEnded is that the session's program has ended.
var errEnded = errors.New("terminal: the session has ended")

// Send sends a text message.
func Send(ctx context.Context, c Conn, m Message) error {
	p, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("terminal: message %s: %w", m.Kind, err)
	}
	return c.Write(ctx, true, p)
}

// talk is one page that looks at a session.
type talk struct {
	conn    Conn
	session Session
	about   func() (path string, rtt time.Duration)
	shown   *Flow
	typed   queue
}

// Serve joins a page to a session until the session ends, which the page is told of
// and which is no error, the page leaves, or ctx is done. Then it closes nothing: the
// caller closes both, which ends what still reads or writes. About is how packets
// travel to the session; nil if they do not travel.
func Serve(ctx context.Context, c Conn, s Session, about func() (path string, rtt time.Duration)) error {
	t := &talk{conn: c, session: s, about: about, shown: NewFlow()}
	t.typed.changed = make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 3)
	go func() { ended <- t.show(ctx) }() // ends with the session, or with ctx and what the caller closes
	go func() { ended <- t.typeIn(ctx) }()
	go func() {
		err := t.listen(ctx)
		t.settle(ctx)
		ended <- err
	}()
	err := <-ended
	if errors.Is(err, errEnded) {
		return Send(ctx, c, Message{Kind: KindExit})
	}
	return err
}

// show passes on what the session shows.
func (t *talk) show(ctx context.Context) error {
	buf := make([]byte, chunk)
	for {
		n, err := t.session.Read(buf)
		if n > 0 {
			if err := t.shown.Enter(ctx, n); err != nil {
				return err
			}
			if err := t.conn.Write(ctx, false, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return errEnded
		}
		if err != nil {
			return err
		}
	}
}

// typeIn passes on what was typed: a program that does not read keeps nobody from
// hearing of anything else.
func (t *talk) typeIn(ctx context.Context) error {
	took := 0
	for {
		p, err := t.typed.take(ctx)
		if err != nil {
			return err
		}
		for piece := range slices.Chunk(p, tellEvery) {
			if _, err := t.session.Write(piece); err != nil {
				// What is shown last says why, if it says anything.
				<-ctx.Done()
				return err
			}
			if took += len(piece); took >= tellEvery || t.typed.empty() {
				_ = Send(ctx, t.conn, Message{Kind: KindTook, Bytes: took}) // a page that left is listen's to notice
				took = 0
			}
		}
	}
}

// settle gives the session what was typed before the page left.
func (t *talk) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	if t.typed.settled(ctx) {
		t.session.Flush(ctx)
	}
}

// listen takes what the page sends.
func (t *talk) listen(ctx context.Context) error {
	for {
		text, p, err := t.conn.Read(ctx)
		if err != nil {
			return err
		}
		if !text {
			if !t.typed.put(p) {
				return fmt.Errorf("%w: more than %d bytes are typed that were not taken", ErrProtocol, 2*Window)
			}
			continue
		}
		if err := t.heard(ctx, p); err != nil {
			return err
		}
	}
}

func (t *talk) heard(ctx context.Context, p []byte) error {
	var m Message
	if err := json.Unmarshal(p, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	switch m.Kind {
	case KindSize:
		if m.Columns == 0 || m.Rows == 0 || m.Columns > maxSide || m.Rows > maxSide {
			return fmt.Errorf("%w: a terminal of %d by %d", ErrProtocol, m.Columns, m.Rows)
		}
		_ = t.session.Resize(m.Columns, m.Rows) // one that has ended shows as its end
	case KindTook:
		t.shown.Leave(m.Bytes)
	case KindPing:
		pong := Message{Kind: KindPong}
		if t.about != nil {
			path, rtt := t.about()
			pong.Path, pong.RTTMs = path, float64(rtt.Microseconds())/1000
		}
		return Send(ctx, t.conn, pong)
	case KindEnd:
		return t.session.End()
	}
	return nil // or of a later version
}

// Flow is what is under way to the page: no more than [Window] bytes. Its methods may be
// called concurrently.
type Flow struct {
	mu      sync.Mutex // guards what follows
	under   int
	changed chan struct{} // closed and replaced when there is less
}

// NewFlow returns one with nothing under way.
func NewFlow() *Flow { return &Flow{changed: make(chan struct{})} }

// Enter waits until n bytes more may be under way, or ctx is done.
func (f *Flow) Enter(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		if f.under == 0 || f.under+n <= Window {
			f.under += n
			f.mu.Unlock()
			return nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Leave notes that the page has taken n bytes.
func (f *Flow) Leave(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under = max(0, f.under-max(0, n))
	close(f.changed)
	f.changed = make(chan struct{})
}

// queue is what was typed and waits for the session.
type queue struct {
	mu      sync.Mutex // guards what follows
	waiting []byte
	taken   bool          // some was taken, and is being typed
	changed chan struct{} // closed and replaced when one of them changes
}

// put adds to what waits, and reports whether there was room: a page that keeps to
// the window finds some.
func (q *queue) put(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting)+len(p) > 2*Window {
		return false
	}
	q.waiting = append(q.waiting, p...)
	q.tell()
	return true
}

// tell wakes whoever waits. q.mu is held.
func (q *queue) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// empty reports whether nothing waits.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) == 0
}

// take returns all that waits, once there is something. Whoever takes again has typed
// what was taken before.
func (q *queue) take(ctx context.Context) ([]byte, error) {
	q.mu.Lock()
	if q.taken {
		q.taken = false
		q.tell()
	}
	q.mu.Unlock()
	for {
		q.mu.Lock()
		p, changed := q.waiting, q.changed
		q.waiting = nil
		q.taken = len(p) > 0
		q.mu.Unlock()
		if len(p) > 0 {
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// settled waits until all was typed, and reports whether it was before ctx was done.
func (q *queue) settled(ctx context.Context) bool {
	for {
		q.mu.Lock()
		settled, changed := len(q.waiting) == 0 && !q.taken, q.changed
		q.mu.Unlock()
		if settled {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
