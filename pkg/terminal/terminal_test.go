package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type sent struct {
	text bool
	p    []byte
}

// pipe is the page's end, and what carries its messages.
type pipe struct{ up, down chan sent }

func (p *pipe) Read(ctx context.Context) (bool, []byte, error) {
	select {
	case m, ok := <-p.up:
		if !ok {
			return false, nil, errors.New("the page left")
		}
		return m.text, m.p, nil
	case <-ctx.Done():
		return false, nil, ctx.Err()
	}
}

func (p *pipe) Write(ctx context.Context, text bool, b []byte) error {
	select {
	case p.down <- sent{text, append([]byte(nil), b...)}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipe) say(t *testing.T, m Message) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p.up <- sent{true, b}
}

// program is a session that shows what is put into out, and reads what is typed when
// it is let.
type program struct {
	out   *io.PipeReader
	shows *io.PipeWriter
	in    *io.PipeWriter
	reads *io.PipeReader

	mu      sync.Mutex // guards what follows
	size    [2]uint32
	ended   bool
	flushed bool
}

func newProgram() *program {
	p := new(program)
	p.out, p.shows = io.Pipe()
	p.reads, p.in = io.Pipe()
	return p
}

func (p *program) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p *program) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p *program) Resize(columns, rows uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = [2]uint32{columns, rows}
	return nil
}
func (p *program) Flush(context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushed = true
}
func (p *program) End() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	return p.shows.CloseWithError(io.EOF)
}
func (p *program) close() {
	p.shows.Close()
	p.reads.Close()
	p.in.Close()
	p.out.Close()
}

// serve serves a program to a page, and returns what Serve does.
func serve(t *testing.T, of *program, about func() (string, time.Duration)) (*pipe, <-chan error) {
	page := &pipe{up: make(chan sent), down: make(chan sent)}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- Serve(ctx, page, of, about) }()
	t.Cleanup(func() { cancel(); of.close() })
	return page, over
}

// What is shown stops where the page takes nothing, and goes on as it does; what is
// typed and asked meanwhile is heard.
func TestAProgramThatWritesForEverWaitsForThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		page, _ := serve(t, p, nil)
		go func() {
			for {
				if _, err := p.shows.Write(make([]byte, chunk)); err != nil {
					return
				}
			}
		}()
		drain := func() (n int) {
			for {
				synctest.Wait()
				select {
				case m := <-page.down:
					if !m.text {
						n += len(m.p)
					}
				default:
					return n
				}
			}
		}
		if n := drain(); n != Window {
			t.Errorf("%d bytes were sent to a page that takes none, want %d", n, Window)
		}
		page.up <- sent{false, []byte("\x03")}
		got := make([]byte, 1)
		if _, err := io.ReadFull(p.reads, got); err != nil || got[0] != 3 {
			t.Errorf("typed %q, %v", got, err)
		}
		page.say(t, Message{Kind: KindTook, Bytes: Window / 2})
		if n := drain(); n != Window/2 {
			t.Errorf("%d bytes more, want %d", n, Window/2)
		}
		page.say(t, Message{Kind: KindTook, Bytes: -1})
		if n := drain(); n != 0 {
			t.Errorf("%d bytes more for nothing", n)
		}
	})
}

// A program that reads nothing keeps nobody from hearing what it shows, nor from
// saying how large the terminal is.
func TestAProgramThatDoesNotReadHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		page, over := serve(t, p, func() (string, time.Duration) { return "direct", 1500 * time.Microsecond })
		for range 2 * Window / chunk {
			page.up <- sent{false, make([]byte, chunk)}
		}
		page.say(t, Message{Kind: KindSize, Columns: 100, Rows: 30})
		page.say(t, Message{Kind: KindPing})
		var pong Message
		if err := json.Unmarshal((<-page.down).p, &pong); err != nil || pong.Kind != KindPong || pong.Path != "direct" || pong.RTTMs != 1.5 {
			t.Errorf("%+v, %v", pong, err)
		}
		p.mu.Lock()
		if p.size != [2]uint32{100, 30} {
			t.Errorf("size %v", p.size)
		}
		p.mu.Unlock()
		go func() { _, _ = io.CopyN(io.Discard, p.reads, 2*tellEvery) }()
		var took Message
		if err := json.Unmarshal((<-page.down).p, &took); err != nil || took.Kind != KindTook || took.Bytes < tellEvery {
			t.Errorf("%+v, %v", took, err)
		}
		for i := 0; ; i++ { // a page that does not wait is sent away
			select {
			case page.up <- sent{false, make([]byte, Window)}:
				continue
			case err := <-over:
				if !errors.Is(err, ErrProtocol) || i > 3 {
					t.Errorf("after %d windows more: %v", i, err)
				}
			}
			break
		}
	})
}

func TestTheSessionsEndIsToldAndThePagesEndIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		page, over := serve(t, p, nil)
		page.say(t, Message{Kind: "of a later version"})
		page.say(t, Message{Kind: KindEnd})
		var exit Message
		if err := json.Unmarshal((<-page.down).p, &exit); err != nil || exit.Kind != KindExit || !p.ended {
			t.Errorf("%+v, %v", exit, err)
		}
		if err := <-over; err != nil {
			t.Error(err)
		}

		page, over = serve(t, newProgram(), nil)
		close(page.up)
		if err := <-over; err == nil {
			t.Error("a page that left is no error")
		}
	})
}

// A page goes on by another way with what was not taken, so it hears at once what was,
// and what was taken before it left is typed.
func TestWhatWasTypedBeforeThePageLeftIsTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		page, over := serve(t, p, nil)
		page.up <- sent{false, []byte("typed")}
		got := make([]byte, 5)
		if _, err := io.ReadFull(p.reads, got); err != nil || string(got) != "typed" {
			t.Errorf("typed %q, %v", got, err)
		}
		var took Message
		if err := json.Unmarshal((<-page.down).p, &took); err != nil || took.Kind != KindTook || took.Bytes != 5 {
			t.Errorf("%+v, %v", took, err)
		}
		page.up <- sent{false, []byte("later")}
		close(page.up)
		synctest.Wait()
		select {
		case err := <-over:
			t.Errorf("it is over with what was typed not typed: %v", err)
		default:
		}
		go func() { <-page.down }() // that it was taken
		if _, err := io.ReadFull(p.reads, got); err != nil || string(got) != "later" {
			t.Errorf("typed %q, %v", got, err)
		}
		<-over
		if !p.flushed {
			t.Error("what was typed may not have come to the session")
		}

		_, over = func() (*pipe, <-chan error) { // a program that never reads holds nobody for long
			page, over := serve(t, newProgram(), nil)
			page.up <- sent{false, []byte("never")}
			close(page.up)
			return page, over
		}()
		start := time.Now()
		<-over
		if waited := time.Since(start); waited != settleFor {
			t.Errorf("it waited %v", waited)
		}
	})
}

func TestNonsenseEndsIt(t *testing.T) {
	for _, text := range []string{"", "{", `{"kind":"size"}`, `{"kind":"size","columns":80,"rows":99999}`, `{"kind":7}`} {
		synctest.Test(t, func(t *testing.T) {
			page, over := serve(t, newProgram(), nil)
			page.up <- sent{true, []byte(text)}
			if err := <-over; !errors.Is(err, ErrProtocol) {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}
