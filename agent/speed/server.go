package speed

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves tests. Close ends it.
type Server struct {
	log      *slog.Logger
	listener net.Listener
	packets  net.PacketConn
	running  atomic.Int32
	wg       sync.WaitGroup

	mu       sync.Mutex // guards what follows
	closed   bool
	conns    map[net.Conn]bool
	arriving map[uint64]*arrival // tests that datagrams are sent to, by number
}

// arrival counts the datagrams of a test.
type arrival struct {
	mu        sync.Mutex
	meter     meter
	datagrams int64
}

// NewServer makes a server of the connections that l accepts and the datagrams of
// packets. It closes both. A nil logger discards.
func NewServer(l net.Listener, packets net.PacketConn, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		log: log, listener: l, packets: packets,
		conns: make(map[net.Conn]bool), arriving: make(map[uint64]*arrival),
	}
}

// Serve serves tests until Close, which is no error. It is called once.
func (s *Server) Serve() error {
	s.wg.Go(s.receive)
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.isClosed() {
				return nil
			}
			return fmt.Errorf("speed: serve: %w", err)
		}
		if !s.keep(conn) {
			conn.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.drop(conn)
			if err := s.test(conn); err != nil {
				s.log.Debug("speed test failed", "from", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// Close ends all tests and waits for them.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	err := errors.Join(s.packets.Close(), s.listener.Close())
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Server) isClosed() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closed }

// keep has Close close a connection. It is false after Close, and for more
// connections than could wait to be told that there are too many tests.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= 4*maxTests {
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

// receive counts datagrams until the socket is closed.
func (s *Server) receive() {
	buf := make([]byte, 2*datagramSize)
	for {
		n, _, err := s.packets.ReadFrom(buf)
		if err != nil {
			if s.isClosed() {
				return
			}
			continue // some client's port was unreachable
		}
		number, ok := datagramNumber(buf[:n])
		if !ok {
			continue
		}
		s.mu.Lock()
		a := s.arriving[number]
		s.mu.Unlock()
		if a != nil {
			a.mu.Lock()
			a.meter.add(n)
			a.datagrams++
			a.mu.Unlock()
		}
	}
}

// test serves one.
func (s *Server) test(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(grace)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, maxLine)
	var r Request
	if err := readLine(in, &r); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if err := r.check(); err != nil {
		return errors.Join(err, writeLine(conn, answer{Error: err.Error()}))
	}
	if s.running.Add(1) > maxTests {
		s.running.Add(-1)
		return writeLine(conn, answer{Error: fmt.Sprintf("%d tests are running already; try again in a minute", maxTests)})
	}
	defer s.running.Add(-1)
	if err := conn.SetDeadline(time.Now().Add(r.duration() + grace)); err != nil {
		return err
	}
	var done Count
	var err error
	switch {
	case r.Datagrams && r.Reverse:
		done, err = s.sendTo(conn, r)
	case r.Datagrams:
		done, err = s.countFrom(conn, in, r)
	case r.Reverse:
		return sendAll(conn, r)
	default:
		done, err = receiveAll(conn, in)
	}
	if err != nil {
		return err
	}
	return writeLine(conn, done)
}

func receiveAll(conn net.Conn, in *bufio.Reader) (Count, error) {
	if err := writeLine(conn, answer{}); err != nil {
		return Count{}, err
	}
	var m meter
	err := receiveStream(in, &m)
	return m.total(), err
}

// sendAll sends a stream, whose end says that all was sent.
func sendAll(conn net.Conn, r Request) error {
	if err := writeLine(conn, answer{}); err != nil {
		return err
	}
	if err := sendStream(conn, r.duration(), new(meter)); err != nil {
		return err
	}
	return closeWrite(conn)
}

// countFrom counts datagrams until the client says that it has sent all.
func (s *Server) countFrom(conn net.Conn, in *bufio.Reader, r Request) (Count, error) {
	a := new(arrival)
	s.mu.Lock()
	taken := s.arriving[r.Number] != nil
	if !taken {
		s.arriving[r.Number] = a
	}
	s.mu.Unlock()
	if taken {
		return Count{}, writeLine(conn, answer{Error: "the test's number is taken; try again"})
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.arriving, r.Number)
	}()
	if err := writeLine(conn, answer{}); err != nil {
		return Count{}, err
	}
	var sent Count
	if err := readLine(in, &sent); err != nil {
		return Count{}, err
	}
	<-time.After(drain)
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.meter.total()
	got.Datagrams = a.datagrams
	return got, nil
}

// sendTo sends datagrams to the client: to the address that the connection comes
// from, which WireGuard has proven, and to no other.
func (s *Server) sendTo(conn net.Conn, r Request) (Count, error) {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return Count{}, err
	}
	if err := writeLine(conn, answer{}); err != nil {
		return Count{}, err
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr(), r.Port))
	var m meter
	sent, err := sendDatagrams(func(p []byte) (int, error) { return s.packets.WriteTo(p, to) }, r.Number, r.duration(), &m)
	total := m.total()
	total.Datagrams = sent
	return total, err
}
