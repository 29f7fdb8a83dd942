package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/aditmesh/adit/pkg/terminal"
)

// patience bounds every wait; on an idle machine all takes a fraction of it.
const patience = 30 * time.Second

// echo is a session that shows what is typed.
type echo struct {
	*io.PipeReader
	*io.PipeWriter
	closed chan struct{}
	once   sync.Once
}

func newEcho() *echo {
	r, w := io.Pipe()
	return &echo{PipeReader: r, PipeWriter: w, closed: make(chan struct{})}
}

func (e *echo) Resize(uint32, uint32) error { return nil }
func (e *echo) Flush(context.Context)       {}
func (e *echo) End() error                  { return e.PipeWriter.Close() }
func (e *echo) Close() error {
	e.once.Do(func() { close(e.closed) })
	return errors.Join(e.PipeWriter.Close(), e.PipeReader.Close())
}

// visitor is a page, with the coordinator's part of the conversation.
type visitor struct {
	t    *testing.T
	conn net.Conn
	pc   *webrtc.PeerConnection
	told chan terminal.Signal // what only the coordinator hears
}

func (v *visitor) say(m terminal.Signal) {
	if err := json.NewEncoder(v.conn).Encode(m); err != nil {
		v.t.Log(err) // the conversation is over
	}
}

func (v *visitor) listen() {
	for lines := bufio.NewScanner(v.conn); lines.Scan(); {
		var m terminal.Signal
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			v.t.Error(err)
			return
		}
		switch m.Kind {
		case terminal.SignalAnswer:
			if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.SDP}); err != nil {
				v.t.Error(err)
			}
		case terminal.SignalCandidate:
			if err := v.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: *m.Candidate, SDPMid: m.Mid, SDPMLineIndex: m.Line}); err != nil {
				v.t.Error(err)
			}
		default:
			v.told <- m
		}
	}
	close(v.told)
}

// visit begins a conversation with a server whose sessions are of.
func visit(t *testing.T, open func(terminal.At) (Session, error)) *visitor {
	t.Helper()
	return visitServer(t, Config{Open: func(_ context.Context, _ net.Addr, at terminal.At) (Session, error) { return open(at) }}, terminal.Signal{Kind: terminal.SignalServers})
}

// visitServer begins a conversation, of which the coordinator says something first.
func visitServer(t *testing.T, cfg Config, first terminal.Signal) *visitor {
	t.Helper()
	cfg.Host, cfg.Logger = "127.0.0.1", slog.New(slog.DiscardHandler)
	s := NewServer(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, conn: conn, pc: pc, told: make(chan terminal.Signal, 16)}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-served, pc.Close()); err != nil {
			t.Error(err)
		}
		conn.Close() // the test may have
	})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			at := c.ToJSON()
			v.say(terminal.Signal{Kind: terminal.SignalCandidate, Candidate: &at.Candidate, Mid: at.SDPMid, Line: at.SDPMLineIndex})
		}
	})
	v.say(first)
	return v
}

// offer offers what channels there are, and goes on.
func (v *visitor) offer() {
	v.t.Helper()
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.say(terminal.Signal{Kind: terminal.SignalOffer, SDP: offer.SDP})
	if err := v.pc.SetLocalDescription(offer); err != nil {
		v.t.Fatal(err)
	}
	go v.listen() // ends with the conversation
}

func wait[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
	panic("unreachable")
}

// A channel is a terminal: what is typed comes to its session, which ends with it and
// is told of, with how much was typed and shown.
func TestAChannelIsATerminal(t *testing.T) {
	session := newEcho()
	asked := make(chan terminal.At, 1)
	v := visit(t, func(at terminal.At) (Session, error) {
		asked <- at
		return session, nil
	})
	dc, err := v.pc.CreateDataChannel("terminal/web/80/24", nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan webrtc.DataChannelMessage, 16)
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if !m.IsString || !strings.Contains(string(m.Data), terminal.KindTook) {
			shown <- m
		}
	})
	dc.OnOpen(func() {
		if err := dc.Send([]byte("typed")); err != nil {
			t.Error(err)
		}
	})
	v.offer()
	if at := wait(t, "a session", asked); at != (terminal.At{Session: "web", Columns: 80, Rows: 24}) {
		t.Errorf("asked for %+v", at)
	}
	if m := wait(t, "an echo", shown); m.IsString || string(m.Data) != "typed" {
		t.Errorf("shown %q", m.Data)
	}
	opened := wait(t, "that it was opened", v.told)
	if err := dc.SendText(`{"kind":"end"}`); err != nil {
		t.Fatal(err)
	}
	if m := wait(t, "the end", shown); !m.IsString || string(m.Data) != `{"kind":"exit"}` {
		t.Errorf("told %q", m.Data)
	}
	closed := wait(t, "that it was closed", v.told)
	if opened.Kind != terminal.SignalOpened || closed.Kind != terminal.SignalClosed || closed.ID != opened.ID || closed.Rx != 5 || closed.Tx != 5 {
		t.Errorf("told %+v, then %+v", opened, closed)
	}
	wait(t, "the session's close", session.closed)
}

// Access is the coordinator's to end: with the conversation goes the peer connection.
func TestThePeerConnectionEndsWithTheConversation(t *testing.T) {
	session := newEcho()
	v := visit(t, func(terminal.At) (Session, error) { return session, nil })
	dc, err := v.pc.CreateDataChannel("terminal/web/80/24", nil)
	if err != nil {
		t.Fatal(err)
	}
	open, gone := make(chan struct{}), make(chan struct{})
	dc.OnOpen(func() { close(open) })
	dc.OnClose(func() { close(gone) })
	v.offer()
	wait(t, "a channel", open)
	wait(t, "that it was opened", v.told)
	v.conn.Close()
	wait(t, "the channel's end", gone)
	wait(t, "the session's close", session.closed)
}

// What is sent to find out whether anybody is there comes back.
func TestAPageHearsThatTheAgentIsThere(t *testing.T) {
	v := visit(t, func(terminal.At) (Session, error) { return nil, errors.New("there is none") })
	dc, err := v.pc.CreateDataChannel(holdLabel, nil)
	if err != nil {
		t.Fatal(err)
	}
	back := make(chan webrtc.DataChannelMessage, 16)
	dc.OnMessage(func(m webrtc.DataChannelMessage) { back <- m })
	dc.OnOpen(func() {
		if err := errors.Join(dc.Send(make([]byte, maxHeld+1)), dc.Send([]byte("?"))); err != nil {
			t.Error(err)
		}
	})
	v.offer()
	if m := wait(t, "what was sent", back); string(m.Data) != "?" {
		t.Errorf("%d bytes came back, want what is short", len(m.Data))
	}
}

// A page that goes on elsewhere is told how much of a channel was taken, which is not
// more later; in this conversation, or in the next.
func TestAPageLeavesAChannelAndHearsWhatWasTaken(t *testing.T) {
	session := newEcho()
	v := visit(t, func(terminal.At) (Session, error) { return session, nil })
	id := "that-one"
	dc, err := v.pc.CreateDataChannel("terminal/web/80/24", &webrtc.DataChannelInit{Protocol: &id})
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan webrtc.DataChannelMessage, 16)
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if !m.IsString || !strings.Contains(string(m.Data), terminal.KindTook) {
			shown <- m
		}
	})
	dc.OnOpen(func() {
		if err := dc.Send([]byte("typed")); err != nil {
			t.Error(err)
		}
	})
	v.offer()
	wait(t, "an echo", shown)
	wait(t, "that it was opened", v.told)
	for range 2 {
		v.say(terminal.Signal{Kind: terminal.SignalLeave, ID: id})
		left := wait(t, "that it was left", v.told)
		if left.Kind == terminal.SignalClosed { // which the coordinator hears
			left = wait(t, "that it was left", v.told)
		}
		if left.Kind != terminal.SignalLeft || left.ID != id || left.Rx != 5 {
			t.Errorf("told %+v", left)
		}
	}
	wait(t, "the session's close", session.closed)
	v.say(terminal.Signal{Kind: terminal.SignalLeave, ID: "another"})
	if left := wait(t, "that nobody knows it", v.told); left.Kind != terminal.SignalLeft || left.Rx != -1 {
		t.Errorf("told %+v", left)
	}
}

// The network changed: another offer of the same page, with other credentials, is
// another way for the same channels.
func TestAnotherOfferIsAnotherWayForTheSameChannels(t *testing.T) {
	session := newEcho()
	v := visit(t, func(terminal.At) (Session, error) { return session, nil })
	dc, err := v.pc.CreateDataChannel("terminal/web/80/24", nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan webrtc.DataChannelMessage, 16)
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if !m.IsString {
			shown <- m
		}
	})
	open := make(chan struct{})
	dc.OnOpen(func() { close(open) })
	v.offer()
	wait(t, "a channel", open)
	before := v.pc.RemoteDescription().SDP
	restarted, err := v.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	v.say(terminal.Signal{Kind: terminal.SignalOffer, SDP: restarted.SDP})
	if err := v.pc.SetLocalDescription(restarted); err != nil {
		t.Fatal(err)
	}
	if err := dc.Send([]byte("typed")); err != nil {
		t.Fatal(err)
	}
	if m := wait(t, "an echo", shown); string(m.Data) != "typed" {
		t.Errorf("shown %q", m.Data)
	}
	if after := v.pc.RemoteDescription().SDP; ufrag(after) == ufrag(before) {
		t.Errorf("the agent goes on with the credentials %s", ufrag(after))
	}
}

func ufrag(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	of, _, _ := strings.Cut(rest, "\r\n")
	return of
}

// Files and ports are for whom both let have them: the template, by the agent, and the
// policy, by the coordinator.
func TestRequestsAreForWhomBothLetAsk(t *testing.T) {
	connect := func() (net.Conn, error) {
		near, far := net.Pipe()
		go func() { // ends with near
			defer far.Close()
			r, err := http.ReadRequest(bufio.NewReader(far))
			if err == nil {
				_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n"+r.URL.Query().Get("path"))
			}
		}()
		return near, nil
	}
	files := Config{Files: func(context.Context, net.Addr) (net.Conn, error) { return connect() }}
	ports := Config{Port: func(_ context.Context, port uint16) (net.Conn, error) {
		if port != 8080 {
			t.Errorf("port %d is asked", port)
		}
		return connect()
	}}
	const told = "answer hello end"
	for _, c := range []struct {
		name, label string
		template    Config
		policy      terminal.Signal
		want        string
	}{
		{"files", filesLabel, files, terminal.Signal{Files: true}, told},
		{"files that the template forbids", filesLabel, Config{}, terminal.Signal{Files: true}, "failed"},
		{"files that the policy forbids", filesLabel, files, terminal.Signal{Port: 8080}, "failed"},
		{"a port", "http/8080", ports, terminal.Signal{Port: 8080}, told},
		{"a port, as the template forbids", "http/8080", Config{}, terminal.Signal{Port: 8080}, "failed"},
		{"a port that the policy forbids", "http/8080", ports, terminal.Signal{Files: true}, "failed"},
		{"another port", "http/8081", ports, terminal.Signal{Port: 8080}, "failed"},
		{"no port", "http/0", ports, terminal.Signal{}, "failed"},
		{"what is no port", "http/x", ports, terminal.Signal{Port: 8080}, "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.policy.Kind = terminal.SignalServers
			v := visitServer(t, c.template, c.policy)
			dc, err := v.pc.CreateDataChannel(c.label, nil)
			if err != nil {
				t.Fatal(err)
			}
			said := make(chan string, 16)
			dc.OnMessage(func(m webrtc.DataChannelMessage) {
				if !m.IsString {
					said <- string(m.Data)
					return
				}
				var what about
				if err := json.Unmarshal(m.Data, &what); err != nil || len(what.Headers) > 0 {
					t.Errorf("%s, %v", m.Data, err)
				}
				said <- what.Kind
			})
			dc.OnOpen(func() {
				if err := dc.SendText(`{"kind":"request","method":"GET","path":"/v1/file?path=hello"}`); err != nil {
					t.Error(err)
				}
			})
			v.offer()
			var all []string
			for range strings.Fields(c.want) {
				all = append(all, wait(t, "an answer", said))
			}
			if got := strings.Join(all, " "); got != c.want {
				t.Errorf("said %q, want %q", got, c.want)
			}
			dc.Close()
		})
	}
}

func TestAChannelThatNamesNoSessionIsTurnedAway(t *testing.T) {
	v := visit(t, func(at terminal.At) (Session, error) { return nil, errors.New("there is none") })
	said := make(chan terminal.Message, 16)
	for _, label := range []string{"else", "terminal/../80/24", "terminal/web/0/24", "terminal/web/80/24"} {
		dc, err := v.pc.CreateDataChannel(label, nil)
		if err != nil {
			t.Fatal(err)
		}
		dc.OnMessage(func(m webrtc.DataChannelMessage) {
			var what terminal.Message
			if err := json.Unmarshal(m.Data, &what); err != nil {
				t.Error(err)
			}
			said <- what
		})
	}
	v.offer()
	again := 0
	for range 4 {
		m := wait(t, "why", said)
		if m.Kind != terminal.KindFailed || m.Text == "" {
			t.Errorf("told %+v", m)
		}
		if m.Again {
			again++
		}
	}
	if again != 1 {
		t.Errorf("%d may be tried again, want the one that is a session's name", again)
	}
}
