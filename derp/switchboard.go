package derp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

const (
	// keepAliveLook is how often those are looked for that are due a sign of life.
	keepAliveLook = 5 * time.Second

	// saidEvery is how often the log says that connections are ended, of each reason.
	saidEvery = time.Minute
)

// switchboard carries packets between clients of the DERP protocol, as the library's
// server does, and for the same clients. What it does otherwise is for busy relays and
// for those with many clients: a client that reads is handed whole batches, a client
// that is silent holds no buffer and one goroutine, and whoever floods another is
// the first whose packets are dropped. Its methods may be called concurrently.
//
// The goroutine of a line reads from its client, and hands on what it reads to the
// outboxes of others, which never block it. What is little it writes as well, where there is
// room for it; else an outbox has a goroutine while it has something to write.
type switchboard struct {
	priv   key.NodePrivate
	public key.NodePublic
	log    *slog.Logger
	// admit says whether a key may come in.
	admit  func(ctx context.Context, k key.NodePublic) (bool, error)
	rate   uint64 // bytes a second that a client may send; zero is no limit
	counts *counts
	said   [endReasons]*seldom // of connections that the relay ends

	batches sync.Pool // of *batch
	reads   sync.Pool // of *[]byte, readSize long
	serving sync.WaitGroup
	ended   chan struct{} // closed when it is

	// routed grows when packets for some key may have to go another way.
	routed atomic.Uint64

	// mu guards what follows. An outbox's may be taken under it, and not the other way
	// round.
	mu      sync.RWMutex
	closed  bool
	conns   map[net.Conn]struct{}            // of lines, and of those that greet
	lines   map[key.NodePublic][]*line       // of a key; the last is the one that is sent to
	beyond  map[key.NodePublic][]*line       // on other relays; the first is the one that is sent to
	onward  map[key.NodePublic]*line         // to other relays, by the keys of those
	untold  map[key.NodePublic]untold        // on another relay, which has not said so yet
	heard   map[key.NodePublic]map[*line]any // who was sent packets of a key, and is told when it goes
	watch   map[*line]struct{}               // relays that want to know who is here
	meshKey key.DERPMesh                     // zero if there is none
}

func newSwitchboard(priv key.NodePrivate, rate uint64, admit func(ctx context.Context, k key.NodePublic) (bool, error), log *slog.Logger) *switchboard {
	s := &switchboard{
		priv: priv, public: priv.Public(), log: log, admit: admit, rate: rate, counts: newCounts(),
		batches: sync.Pool{New: func() any { return &batch{from: make(map[*line]int)} }},
		reads:   sync.Pool{New: func() any { b := make([]byte, readSize); return &b }},
		conns:   make(map[net.Conn]struct{}), lines: make(map[key.NodePublic][]*line), beyond: make(map[key.NodePublic][]*line),
		onward: make(map[key.NodePublic]*line), untold: make(map[key.NodePublic]untold),
		heard: make(map[key.NodePublic]map[*line]any), watch: make(map[*line]struct{}),
		ended: make(chan struct{}),
	}
	for why := range s.said {
		s.said[why] = newSeldom(saidEvery)
	}
	s.serving.Go(s.keepAlive)
	return s
}

// keepAlive writes to clients now and then, so that they and what is between do not
// take their connection for dead.
func (s *switchboard) keepAlive() {
	tick := time.NewTicker(keepAliveLook)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case now := <-tick.C:
			s.mu.RLock()
			for _, same := range s.lines {
				for _, l := range same {
					if now.Sub(l.alive) >= derp.KeepAlive {
						l.alive = now
						l.out.control(frame(derp.FrameKeepAlive, nil))
					}
				}
			}
			s.mu.RUnlock()
			s.forgetUntold(now)
		}
	}
}

// errClosed is that the relay has ended.
var errClosed = errors.New("the relay is closed")

// enter notes a connection, so that close ends it. The caller is to leave.
func (s *switchboard) enter(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.serving.Add(1)
	s.conns[conn] = struct{}{}
	s.counts.accepts.Add(1)
	return nil
}

func (s *switchboard) leave(conn net.Conn) {
	_ = conn.Close() // again, mostly
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	s.serving.Done()
}

// close ends all connections, and waits for that.
func (s *switchboard) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ended)
	}
	for conn := range s.conns {
		cut(conn) // its line ends
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// add has a line be the one of its key.
func (s *switchboard) add(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := s.lines[l.key]
	if len(others) > 0 {
		others[len(others)-1].current.Store(false)
	}
	s.lines[l.key] = append(others, l)
	l.current.Store(true)
	s.routed.Add(1)
	s.settleLocked(l.key)
	s.counts.clients.Add(1)
	s.tellLocked(presentFrame(l))
}

// prefer has a line be the one of its key again: of several the one counts that was
// heard last.
func (s *switchboard) prefer(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.lines[l.key]
	for i, other := range same {
		if other == l {
			same[len(same)-1].current.Store(false)
			same[i], same[len(same)-1] = same[len(same)-1], same[i]
			l.current.Store(true)
			return
		}
	}
}

// remove forgets a line.
func (s *switchboard) remove(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.clients.Add(-1)
	if l.home {
		s.counts.home.Add(-1)
	}
	l.current.Store(false)
	delete(s.watch, l)
	for src := range l.sources {
		s.unhearLocked(src, l)
	}
	var left []*line
	for _, other := range s.lines[l.key] {
		if other != l {
			left = append(left, other)
		}
	}
	if len(left) > 0 {
		left[len(left)-1].current.Store(true)
		s.lines[l.key] = left
		return
	}
	delete(s.lines, l.key)
	s.tellLocked(goneFrame(l.key, derp.PeerGoneReasonDisconnected))
	if len(s.beyond[l.key]) == 0 {
		s.goneLocked(l.key)
	}
}

// setHome notes whether a client has its home here.
func (s *switchboard) setHome(l *line, home bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case home && !l.home:
		s.counts.home.Add(1)
	case !home && l.home:
		s.counts.home.Add(-1)
	}
	l.home = home
}

// find returns who is to get packets for a key: a client, or the line to a relay that has
// it; nil is nobody.
func (s *switchboard) find(k key.NodePublic) *line {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if same := s.lines[k]; len(same) > 0 {
		return same[len(same)-1]
	}
	if others := s.beyond[k]; len(others) > 0 {
		return others[0]
	}
	return s.onward[s.untold[k].relay] // nobody, mostly
}

// hear notes that a line was sent packets of a key.
func (s *switchboard) hear(src key.NodePublic, l *line) {
	s.mu.RLock()
	_, known := l.sources[src]
	s.mu.RUnlock()
	if known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !l.current.Load() { // it may have left
		return
	}
	if l.sources == nil {
		l.sources = make(map[key.NodePublic]struct{})
	}
	l.sources[src] = struct{}{}
	if s.heard[src] == nil {
		s.heard[src] = make(map[*line]any)
	}
	s.heard[src][l] = nil
}

func (s *switchboard) unhearLocked(src key.NodePublic, l *line) {
	delete(s.heard[src], l)
	if len(s.heard[src]) == 0 {
		delete(s.heard, src)
	}
}

// goneLocked tells those who were sent packets of a key that it is nowhere in the
// region any more.
func (s *switchboard) goneLocked(k key.NodePublic) {
	frame := goneFrame(k, derp.PeerGoneReasonDisconnected)
	for l := range s.heard[k] {
		delete(l.sources, k)
		l.out.control(frame)
	}
	delete(s.heard, k)
}

// tellLocked tells the relays that watch.
func (s *switchboard) tellLocked(frame []byte) {
	for w := range s.watch {
		w.out.control(frame)
	}
}

// addBeyond has packets for a key go by the line to another relay, unless it is here.
func (s *switchboard) addBeyond(k key.NodePublic, to *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.beyond[k], to) {
		s.beyond[k] = append(s.beyond[k], to)
	}
	s.settleLocked(k)
}

// removeBeyond undoes that.
func (s *switchboard) removeBeyond(k key.NodePublic, to *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routed.Add(1)
	left := slices.DeleteFunc(slices.Clone(s.beyond[k]), func(known *line) bool { return known == to })
	if len(left) > 0 {
		s.beyond[k] = left
		return
	}
	delete(s.beyond, k)
	if len(s.lines[k]) == 0 {
		s.goneLocked(k)
	}
}

// setMeshKey changes by what the relays of the region are known. Those that came with
// another are disconnected.
func (s *switchboard) setMeshKey(k key.DERPMesh) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meshKey = k
	for _, same := range s.lines {
		for _, l := range same {
			if l.sibling {
				cut(l.conn)
			}
		}
	}
}

// isSibling reports whether a client has the key of the region's relays.
func (s *switchboard) isSibling(k key.DERPMesh) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !k.IsZero() && !s.meshKey.IsZero() && s.meshKey.Equal(k)
}

// addWatch tells a relay who is here, and from now on who comes and goes.
func (s *switchboard) addWatch(l *line) {
	if l.key == s.public { // this relay, watching itself
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, same := range s.lines {
		l.out.control(presentFrame(same[len(same)-1]))
	}
	s.watch[l] = struct{}{}
}

// disconnect ends the connections of a key.
func (s *switchboard) disconnect(k key.NodePublic) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.lines[k] {
		cut(l.conn)
	}
}
