package port

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/stats"
)

const (
	// maxConns bounds the connections of peers to a server, and maxSessions those
	// that have the server listen or carry datagrams.
	maxConns    = 4096
	maxSessions = 512
)

// Config configures a Server.
type Config struct {
	// Listener and Packets are the server's port on the mesh. It closes both.
	Listener net.Listener
	Packets  net.PacketConn
	// Tally counts what is forwarded; nil is nobody's.
	Tally *stats.Tally
	// Logger gets what peers forward; nil discards.
	Logger *slog.Logger
}

// Server forwards for peers what a connection to a port of the mesh cannot: unix
// sockets and datagrams, and what comes from the workspace to them. Serve serves
// until Close, which ends all and waits for it.
type Server struct {
	cfg Config
	log *slog.Logger
	wg  sync.WaitGroup

	ctx    context.Context // done with Close
	cancel context.CancelFunc

	mu       sync.Mutex // guards what follows
	closed   bool
	conns    map[net.Conn]bool
	opened   int // sessions, also those that are not known yet
	sessions map[uint32]*session
}

// NewServer returns a server that serves nothing yet.
func NewServer(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Logger, conns: make(map[net.Conn]bool), sessions: make(map[uint32]*session)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve serves peers until Close, which is no error. It is called once.
func (s *Server) Serve() error {
	s.wg.Go(s.receive)
	for {
		conn, err := s.cfg.Listener.Accept()
		if err != nil {
			if s.isClosed() {
				return nil
			}
			return fmt.Errorf("port: serve: %w", err)
		}
		if !s.keep(conn) {
			conn.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.drop(conn)
			if err := s.serve(conn); err != nil {
				s.log.Debug("a forward ended", "from", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// Close ends everything and waits for it.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.cancel()
	err := errors.Join(s.cfg.Packets.Close(), s.cfg.Listener.Close())
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Server) isClosed() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closed }

// keep has Close close a connection.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConns {
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) drop(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// serve does what a peer asks for.
func (s *Server) serve(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	var req request
	if err := readLine(conn, &req); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	switch req.Do {
	case doList:
		list, err := List()
		if err != nil {
			return refuse(conn, err)
		}
		return writeLine(conn, answer{Listening: list})
	case doUnix:
		return s.connectUnix(conn, req.Address)
	case doUDP:
		return s.carry(conn, req)
	case doListen:
		return s.listen(conn, req)
	case doTake, doRefuse:
		return s.take(conn, req)
	}
	return refuse(conn, fmt.Errorf("%.40q is not known here; the agent may be older than this program", req.Do))
}

// refuse tells a peer why not.
func refuse(conn net.Conn, why error) error {
	return errors.Join(why, writeLine(conn, answer{Error: why.Error()}))
}

func (s *Server) connectUnix(conn net.Conn, path string) error {
	local, err := net.DialTimeout("unix", path, answerTimeout)
	if err != nil {
		return refuse(conn, dialError("unix socket "+path, err))
	}
	if err := writeLine(conn, answer{}); err != nil {
		local.Close()
		return err
	}
	s.join(conn, local)
	return nil
}

// join carries a peer's connection until it ends or the server does.
func (s *Server) join(peer, local net.Conn) {
	stop := context.AfterFunc(s.ctx, func() { local.Close() })
	defer stop()
	Join(s.cfg.Tally.Conn(stats.Forward, peer), local)
}

// dialError says in a sentence why something was not reached.
func dialError(what string, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s", what)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s does not exist", what)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s may not be opened by the workspace's user", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// carry has datagrams of a peer's go to a port.
func (s *Server) carry(conn net.Conn, req request) error {
	if req.Port == 0 {
		return refuse(conn, errors.New("port 0 is none"))
	}
	sess, err := s.open(conn, req)
	if err != nil {
		return refuse(conn, err)
	}
	defer s.end(sess)
	sess.flows = lead(func() (*net.UDPConn, error) { return DialUDP(req.Port) }, sess.via, sess.refuse)
	return s.hold(conn, sess, answer{})
}

// DialUDP connects to a port of this machine, where something listens.
func DialUDP(port uint16) (*net.UDPConn, error) {
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	if at := addressesOf(UDP, port); len(at) > 0 {
		to = at[0]
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, fmt.Errorf("port: connect to UDP port %d: %w", port, err)
	}
	return c, nil
}

// take gives a peer a connection that was accepted for it, or closes that.
func (s *Server) take(conn net.Conn, req request) error {
	s.mu.Lock()
	sess := s.sessions[req.Session]
	s.mu.Unlock()
	var local net.Conn
	if sess != nil && sess.peer == hostOf(conn.RemoteAddr()) {
		local = sess.remove(req.ID)
	}
	switch {
	case local == nil:
		return refuse(conn, errors.New("the connection waits no longer"))
	case req.Do == doRefuse:
		return errors.Join(reset(local), writeLine(conn, answer{}))
	}
	if err := writeLine(conn, answer{}); err != nil {
		local.Close()
		return err
	}
	s.join(conn, local)
	return nil
}

// reset closes a connection such that its other end sees that it failed.
func reset(c net.Conn) error {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // else it is closed as others are
	}
	return c.Close()
}

func hostOf(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}
