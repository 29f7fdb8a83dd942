// Package browser lets pages reach the workspace peer to peer, by WebRTC: what a
// browser has in place of the mesh.
//
// Who may is the coordinator's to say: it carries the page's offers, over the mesh, to
// a [Server], and the peer connection lives for as long as that conversation does. So
// access that ends there ends here, and none of the page's bytes need to pass the
// coordinator.
package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/terminal"
)

// Port is where the coordinator brings offers, on the mesh.
const Port = 7076

const (
	// maxLine bounds a message of the conversation: an offer with its candidates.
	maxLine = 64 << 10

	// maxChannels bounds the terminals of a page.
	maxChannels = 64
)

// Session is a session of the workspace that a channel looks at.
type Session interface {
	terminal.Session
	io.Closer
}

// Config configures a Server. All of it is needed but for what says otherwise.
type Config struct {
	// Open looks at a session by name, for the coordinator's node at an address.
	Open func(ctx context.Context, from net.Addr, at terminal.At) (Session, error)
	// Files connects to the server of files, for the coordinator's node at an address. It
	// is nil where nobody may have them.
	Files func(ctx context.Context, from net.Addr) (net.Conn, error)
	// Port connects to a port of the workspace. It is nil where nobody may have them.
	Port func(ctx context.Context, port uint16) (net.Conn, error)
	// Host is where this agent finds the coordinator, and with it STUN servers that are
	// named without a host.
	Host   string
	Logger *slog.Logger
}

// Server answers offers until Close.
type Server struct {
	cfg  Config
	api  *webrtc.API
	left *departures
	wg   sync.WaitGroup // conversations

	mu     sync.Mutex // guards what follows
	closed bool
	l      net.Listener
	conns  map[net.Conn]bool
}

// NewServer returns a server that serves nothing yet.
func NewServer(cfg Config) *Server {
	var s webrtc.SettingEngine
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeQueryOnly) // pages hide their addresses behind names
	s.SetIPFilter(func(ip net.IP) bool { return !meshaddr.Prefix.Contains(addrOf(ip)) })
	return &Server{cfg: cfg, api: webrtc.NewAPI(webrtc.WithSettingEngine(s)), left: newDepartures(), conns: make(map[net.Conn]bool)}
}

// Serve serves the conversations of a listener until Close.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.l = l
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return l.Close()
	}
	for {
		conn, err := l.Accept()
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			if err == nil {
				conn.Close()
			}
			return nil
		case err != nil:
			s.mu.Unlock()
			return fmt.Errorf("browser: serve: %w", err)
		}
		s.conns[conn] = true
		s.wg.Go(func() {
			if err := s.converse(conn); err != nil && !errors.Is(err, io.EOF) {
				s.cfg.Logger.Debug("a page's peer connection ended", "err", err)
			}
			conn.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, conn)
		})
		s.mu.Unlock()
	}
}

// Close ends every peer connection and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	var err error
	if s.l != nil {
		err = s.l.Close()
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// page is one page's peer connection, and the conversation about it.
type page struct {
	*Server
	conn   net.Conn
	ctx    context.Context
	wg     sync.WaitGroup // channels
	places chan struct{}  // holds a value for each channel
	files  bool           // the coordinator lets the page have them
	port   uint16         // which it lets the page ask, unless zero

	mu        sync.Mutex // guards what follows, and is held while a message is written
	out       *json.Encoder
	answering bool              // an offer's answer is being made
	held      []terminal.Signal // candidates that the page can use once it has the answer
}

// converse serves one page until its conversation ends.
func (s *Server) converse(conn net.Conn) error {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	first, err := next(lines)
	if err != nil {
		return err
	}
	pc, err := s.api.NewPeerConnection(webrtc.Configuration{ICEServers: s.servers(first.ICE)})
	if err != nil {
		return fmt.Errorf("browser: peer connection: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &page{Server: s, conn: conn, ctx: ctx, files: first.Files, port: first.Port, out: json.NewEncoder(conn), places: make(chan struct{}, maxChannels)}
	defer p.wg.Wait()
	defer cancel()
	defer func() {
		if err := pc.Close(); err != nil {
			s.cfg.Logger.Debug("a peer connection was not closed well", "err", err)
		}
	}()
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			at := c.ToJSON()
			p.say(terminal.Signal{Kind: terminal.SignalCandidate, Candidate: &at.Candidate, Mid: at.SDPMid, Line: at.SDPMLineIndex})
		}
	})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed {
			conn.Close() // the page asks anew if it is still there
		}
	})
	pc.OnDataChannel(func(dc *webrtc.DataChannel) { p.accept(dc) })
	for {
		m, err := next(lines)
		if err != nil {
			return err
		}
		if err := p.hear(pc, m); err != nil {
			return err
		}
	}
}

// next reads a message of the conversation.
func next(lines *bufio.Scanner) (m terminal.Signal, err error) {
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return m, fmt.Errorf("browser: read: %w", err)
		}
		return m, io.EOF
	}
	if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
		return m, fmt.Errorf("browser: a message that is none: %w", err)
	}
	return m, nil
}

// servers are the STUN servers that were named.
func (s *Server) servers(urls []string) []webrtc.ICEServer {
	var list []webrtc.ICEServer
	for _, u := range urls {
		if rest, ok := strings.CutPrefix(u, "stun::"); ok {
			u = "stun:" + net.JoinHostPort(s.cfg.Host, rest)
		}
		list = append(list, webrtc.ICEServer{URLs: []string{u}})
	}
	return list
}

func (p *page) hear(pc *webrtc.PeerConnection, m terminal.Signal) error {
	switch m.Kind {
	case terminal.SignalOffer: // or another one, of a page whose network changed
		p.mu.Lock()
		p.answering = true
		p.mu.Unlock()
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.SDP}); err != nil {
			return fmt.Errorf("browser: offer: %w", err)
		}
		answer, err := pc.CreateAnswer(nil)
		if err == nil {
			err = pc.SetLocalDescription(answer)
		}
		if err != nil {
			return fmt.Errorf("browser: answer: %w", err)
		}
		p.answer(terminal.Signal{Kind: terminal.SignalAnswer, SDP: answer.SDP})
	case terminal.SignalLeave:
		p.left.leave(m.ID, p)
	case terminal.SignalCandidate:
		if m.Candidate == nil || *m.Candidate == "" {
			return nil // there are no more
		}
		if err := pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: *m.Candidate, SDPMid: m.Mid, SDPMLineIndex: m.Line}); err != nil {
			p.cfg.Logger.Debug("a page's candidate is of no use", "err", err)
		}
	}
	return nil // or of a later version
}

// say sends a message. One that cannot be sent ends the conversation.
func (p *page) say(m terminal.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answering && m.Kind == terminal.SignalCandidate {
		p.held = append(p.held, m)
		return
	}
	p.write(m)
}

// answer sends an answer, and then the candidates that belong to it.
func (p *page) answer(m terminal.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(m)
	for _, c := range p.held {
		p.write(c)
	}
	p.answering, p.held = false, nil
}

// write writes a message. p.mu is held.
func (p *page) write(m terminal.Signal) {
	if err := p.out.Encode(m); err != nil {
		p.conn.Close()
	}
}

const (
	// holdLabel is the channel that pages open to have something to offer. What they send
	// there is sent back: so they know that somebody is there.
	holdLabel = "hold"

	// maxHeld bounds a message there.
	maxHeld = 32
)

// accept serves a channel that the page opened.
func (p *page) accept(dc *webrtc.DataChannel) {
	if dc.Label() == holdLabel {
		dc.OnMessage(func(m webrtc.DataChannelMessage) {
			if len(m.Data) <= maxHeld && dc.BufferedAmount() < maxHeld*maxUnread {
				_ = dc.Send(m.Data) // one that is lost is as any that is
			}
		})
		return
	}
	select {
	case p.places <- struct{}{}:
	default:
		_ = dc.Close() // the page sees that
		return
	}
	c := newChannel(dc)
	dc.OnOpen(func() {
		p.wg.Go(func() {
			defer func() { <-p.places }()
			defer dc.Close()
			if strings.HasPrefix(dc.Label(), requestLabel) {
				p.carry(c, dc.Label())
				return
			}
			id := dc.Protocol()
			if p.left.opened(id, c) {
				defer func() { p.left.ended(id, c.rx.Load()) }()
			}
			p.serve(c, dc.Label())
		})
	})
}

// serve joins a channel to the session that its label names.
func (p *page) serve(c *channel, label string) {
	at, err := terminal.ParseLabel(label)
	if err != nil {
		_ = terminal.Send(p.ctx, c, terminal.Message{Kind: terminal.KindFailed, Text: "The page asks for what is not known here; load it again."})
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	s, err := p.cfg.Open(ctx, p.conn.RemoteAddr(), at)
	if err != nil {
		p.cfg.Logger.Debug("no session for a page", "session", at.Session, "err", err)
		_ = terminal.Send(ctx, c, terminal.Message{Kind: terminal.KindFailed, Text: "The terminal cannot be opened right now.", Again: true})
		return
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	p.say(terminal.Signal{Kind: terminal.SignalOpened, ID: c.id})
	if err := terminal.Serve(ctx, c, s, nil); err != nil && !errors.Is(err, errLeft) && ctx.Err() == nil {
		p.cfg.Logger.Debug("a page's terminal ended", "session", at.Session, "err", err)
	}
	c.flush(ctx)
	p.say(terminal.Signal{Kind: terminal.SignalClosed, ID: c.id, Rx: c.rx.Load(), Tx: c.tx.Load()})
}
