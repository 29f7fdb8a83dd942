package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/aditmesh/adit/agent/stats"
)

const (
	// maxWaiting bounds connections of a session that nobody has taken yet, and
	// takeTimeout is how long each waits.
	maxWaiting  = 128
	takeTimeout = 15 * time.Second

	// maxNotices bounds what a peer has not read yet. It does without the rest.
	maxNotices = 2 * maxWaiting

	// silence is how long a peer may give no sign of life: what it has the workspace
	// listen on is free again then.
	silence = 6 * aliveEvery

	// refusedEvery is how often a peer is told that nobody listens.
	refusedEvery = time.Second
)

// session is something that holds as long as a peer's connection.
type session struct {
	id      uint32
	peer    netip.Addr     // whose it is
	source  netip.AddrPort // where its datagrams come from
	via     *carrier
	use     stats.Use
	flows   flowEnd // nil without datagrams
	notices chan notice

	mu      sync.Mutex // guards what follows
	heard   bool
	refused time.Time // when it was last told
	lastID  uint32
	waiting map[uint32]net.Conn
}

// open makes a session. Each has one end.
func (s *Server) open(conn net.Conn, req request) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.opened >= maxSessions {
		return nil, fmt.Errorf("%d forwards are open already", s.opened)
	}
	s.opened++
	id := rand.Uint32()
	for s.sessions[id] != nil || id == 0 {
		id = rand.Uint32()
	}
	peer := hostOf(conn.RemoteAddr())
	sess := &session{
		id: id, peer: peer, source: netip.AddrPortFrom(peer, req.Source), use: s.cfg.Tally.BeginBy(stats.Forward, conn.RemoteAddr()),
		notices: make(chan notice, maxNotices), waiting: make(map[uint32]net.Conn),
	}
	to := net.UDPAddrFromAddrPort(sess.source)
	sess.via = &carrier{session: id, use: sess.use, send: func(packet []byte) error {
		_, err := s.cfg.Packets.WriteTo(packet, to)
		return err
	}}
	return sess, nil
}

// hold makes a session known, answers the peer, and tells it what happens until it
// ends the connection.
func (s *Server) hold(conn net.Conn, sess *session, a answer) error {
	s.mu.Lock()
	s.sessions[sess.id] = sess
	s.mu.Unlock()
	a.Session = sess.id
	if err := writeLine(conn, a); err != nil {
		return err
	}
	ended := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		for {
			select {
			case <-ended:
				return
			case n := <-sess.notices:
				if writeLine(conn, n) != nil {
					return // the connection is broken, which the reader sees
				}
			}
		}
	}()
	err := untilSilent(conn)
	close(ended)
	conn.Close()
	<-told
	return err
}

// untilSilent reads a peer's signs of life until it ends or there are none.
func untilSilent(conn net.Conn) error {
	signs := make([]byte, 16)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if _, err := conn.Read(signs); err != nil {
			return err
		}
	}
}

func (s *Server) end(sess *session) {
	s.mu.Lock()
	s.opened--
	delete(s.sessions, sess.id)
	s.mu.Unlock()
	if sess.flows != nil {
		sess.flows.close()
	}
	sess.use.End()
	sess.mu.Lock()
	waiting := sess.waiting
	sess.waiting = nil
	sess.mu.Unlock()
	for _, c := range waiting {
		_ = reset(c) // nobody takes it any more
	}
}

// listen listens for a peer and tells it what comes.
func (s *Server) listen(conn net.Conn, req request) error {
	if req.Network == UDP {
		return s.listenUDP(conn, req)
	}
	sess, err := s.open(conn, req)
	if err != nil {
		return refuse(conn, err)
	}
	defer s.end(sess)
	l, err := Listen(s.ctx, req.Network, req.Address)
	if err != nil {
		return refuse(conn, err)
	}
	s.log.Info("listening for a peer", "on", l.Addr(), "for", conn.RemoteAddr())
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !sess.offer(c) {
				c.Close()
			}
		}
	}()
	defer func() {
		l.Close()
		<-accepted
	}()
	return s.hold(conn, sess, answer{Address: l.Addr().String()})
}

func (s *Server) listenUDP(conn net.Conn, req request) error {
	sess, err := s.open(conn, req)
	if err != nil {
		return refuse(conn, err)
	}
	defer s.end(sess)
	socket, err := ListenUDP(s.ctx, req.Address)
	if err != nil {
		return refuse(conn, err)
	}
	s.log.Info("listening for a peer", "on", socket.LocalAddr(), "network", "udp", "for", conn.RemoteAddr())
	flows := begin(socket)
	flows.via.Store(sess.via)
	sess.flows = flows
	return s.hold(conn, sess, answer{Address: socket.LocalAddr().String()})
}

// receive takes the datagrams of all sessions, until the socket is closed. It
// waits for nobody.
func (s *Server) receive() {
	buf := make([]byte, 2*(headerLen+pieceLen))
	for {
		n, from, err := s.cfg.Packets.ReadFrom(buf)
		if err != nil {
			if s.isClosed() {
				return
			}
			continue // some peer's port was unreachable
		}
		h, data, err := parsePiece(buf[:n])
		if err != nil {
			continue
		}
		s.mu.Lock()
		sess := s.sessions[h.session]
		s.mu.Unlock()
		if at, ok := from.(*net.UDPAddr); !ok || sess == nil || sess.source != unmapped(at.AddrPort()) {
			continue // not the peer whose session it is
		}
		sess.came(h, data)
	}
}

// notify tells the peer something, unless it reads nothing of it.
func (sess *session) notify(n notice) bool {
	select {
	case sess.notices <- n:
		return true
	default:
		return false
	}
}

// unmapped is an address as it is compared.
func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// came takes a piece of a peer's.
func (sess *session) came(h header, data []byte) {
	sess.mu.Lock()
	first := !sess.heard
	sess.heard = true
	sess.mu.Unlock()
	if first {
		sess.notify(notice{Heard: true})
	}
	if h.flow == helloFlow || sess.flows == nil {
		return
	}
	if datagram := sess.via.came(h, data); datagram != nil {
		sess.flows.deliver(h.flow, datagram)
	}
}

// refuse tells the peer that nobody listens, at times.
func (sess *session) refuse() {
	sess.mu.Lock()
	now := time.Now()
	tell := now.Sub(sess.refused) > refusedEvery
	if tell {
		sess.refused = now
	}
	sess.mu.Unlock()
	if tell {
		sess.notify(notice{Refused: true})
	}
}

// offer has a connection wait for the peer, if not too many do.
func (sess *session) offer(c net.Conn) bool {
	sess.mu.Lock()
	if sess.waiting == nil || len(sess.waiting) >= maxWaiting {
		sess.mu.Unlock()
		return false
	}
	sess.lastID++
	id := sess.lastID
	sess.waiting[id] = c
	sess.mu.Unlock()
	time.AfterFunc(takeTimeout, func() {
		if c := sess.remove(id); c != nil {
			_ = reset(c) // it may be gone
		}
	})
	return sess.notify(notice{Accepted: id}) || sess.remove(id) == nil
}

func (sess *session) remove(id uint32) net.Conn {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	c := sess.waiting[id]
	delete(sess.waiting, id)
	return c
}
