package names

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// askTimeout is how long another server may take before the next is asked. C
	// libraries wait for 5 s.
	askTimeout = 2 * time.Second

	// tcpTimeout is how long a connection may be silent.
	tcpTimeout = 10 * time.Second

	// maxAsking bounds the questions that others are asked at a time. Those beyond
	// are refused.
	maxAsking = 256

	// maxMessage is the largest message over TCP.
	maxMessage = 65535
)

// Config configures a server.
type Config struct {
	// Suffix of the mesh's names, such as "adit".
	Suffix string
	Table  *Table
	// Owns says which addresses are the mesh's.
	Owns func(netip.Addr) bool
	// Asked is called with each host whose address is asked for: somebody is about
	// to speak to it. It must not block. Nil means nobody wants to know.
	Asked func(Host)
	// Others are asked about all other names. Nil, or none, refuses those.
	Others func() []netip.Addr
	// Logger gets what goes wrong; nil discards.
	Logger *slog.Logger
}

// Server answers DNS queries until Close. Its methods may be called concurrently.
type Server struct {
	suffix string
	table  *Table
	owns   func(netip.Addr) bool
	asked  func(Host)
	others func() []netip.Addr
	log    *slog.Logger
	soa    dnsmessage.SOAResource

	asking chan struct{} // holds a value for each question to others
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	serving []io.Closer // guarded by mu
}

// New returns a server that does not listen yet.
func New(cfg Config) (*Server, error) {
	zone, err := dnsmessage.NewName(cfg.Suffix + ".")
	if err != nil {
		return nil, fmt.Errorf("names: suffix %q: %w", cfg.Suffix, err)
	}
	s := &Server{
		suffix: cfg.Suffix, table: cfg.Table, owns: cfg.Owns, asked: cfg.Asked, others: cfg.Others, log: cfg.Logger,
		soa:    dnsmessage.SOAResource{NS: zone, MBox: zone, Serial: 1, Refresh: ttl, Retry: ttl, Expire: ttl, MinTTL: ttl},
		asking: make(chan struct{}, maxAsking),
	}
	if s.asked == nil {
		s.asked = func(Host) {}
	}
	if s.others == nil {
		s.others = func() []netip.Addr { return nil }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Listen answers at an address, over UDP and TCP, until Close.
func (s *Server) Listen(at netip.AddrPort) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return fmt.Errorf("names: %w", err)
	}
	at = netip.AddrPortFrom(at.Addr(), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return fmt.Errorf("names: %w", errors.Join(err, conn.Close()))
	}
	s.mu.Lock()
	s.serving = append(s.serving, conn, l)
	s.mu.Unlock()
	s.wg.Go(func() { s.serveUDP(conn) })
	s.wg.Go(func() { s.serveTCP(l) })
	return nil
}

// Close ends the server and waits for what it began.
func (s *Server) Close() {
	s.cancel()
	s.mu.Lock()
	for _, c := range s.serving {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) serveUDP(conn *net.UDPConn) {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an error of ICMP: who asked is gone
		}
		send := func(reply []byte) {
			if len(reply) > 0 {
				_, _ = conn.WriteToUDPAddrPort(reply, from) // they ask again
			}
		}
		if reply, ours := s.reply(buf[:n]); ours {
			send(reply)
			continue
		}
		query := append([]byte{}, buf[:n]...)
		s.askOthers(func() { send(s.askUDP(query)) }, func() { send(refused(query, dnsmessage.RCodeRefused)) })
	}
}

// reply answers what is about the mesh; all else is not ours.
func (s *Server) reply(query []byte) (reply []byte, ours bool) {
	text, host, err := s.answer(query)
	switch {
	case errors.Is(err, errNotOurs):
		return nil, false
	case err != nil:
		return refused(query, dnsmessage.RCodeFormatError), true
	}
	if host != nil {
		s.asked(*host)
	}
	return text, true
}

// askOthers runs ask in a goroutine of its own, or full where there is no room.
func (s *Server) askOthers(ask, full func()) {
	select {
	case s.asking <- struct{}{}:
		s.wg.Go(func() {
			defer func() { <-s.asking }()
			ask()
		})
	default:
		full()
	}
}

// askUDP asks other servers, one after another, until one answers.
func (s *Server) askUDP(query []byte) []byte {
	buf := make([]byte, maxMessage)
	for _, server := range s.others() {
		if reply, err := s.askOne("udp", server, func(conn net.Conn) ([]byte, error) {
			if _, err := conn.Write(query); err != nil {
				return nil, err
			}
			for { // what answers another question is none of ours
				n, err := conn.Read(buf)
				if err != nil || n >= 2 && buf[0] == query[0] && buf[1] == query[1] {
					return buf[:n], err
				}
			}
		}); err == nil {
			return reply
		}
	}
	return refused(query, dnsmessage.RCodeRefused)
}

func (s *Server) askOne(network string, server netip.Addr, ask func(net.Conn) ([]byte, error)) ([]byte, error) {
	const port = 53
	ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, netip.AddrPortFrom(server, port).String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return nil, err
	}
	return ask(conn)
}

func (s *Server) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.log.Debug("a connection for names was not taken", "err", err)
			select {
			case <-s.ctx.Done():
			case <-time.After(tcpTimeout / 10): // as when there are no more files
			}
			continue
		}
		s.askOthers(func() { s.serveConn(conn) }, func() { conn.Close() })
	}
}

// serveConn answers the questions of one connection.
func (s *Server) serveConn(conn net.Conn) {
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	for conn.SetDeadline(time.Now().Add(tcpTimeout)) == nil {
		query, err := readMessage(conn)
		if err != nil {
			return
		}
		reply, ours := s.reply(query)
		if !ours {
			reply = s.askTCP(query)
		}
		if len(reply) == 0 || writeMessage(conn, reply) != nil {
			return
		}
	}
}

func (s *Server) askTCP(query []byte) []byte {
	for _, server := range s.others() {
		if reply, err := s.askOne("tcp", server, func(conn net.Conn) ([]byte, error) {
			if err := writeMessage(conn, query); err != nil {
				return nil, err
			}
			return readMessage(conn)
		}); err == nil {
			return reply
		}
	}
	return refused(query, dnsmessage.RCodeRefused)
}

// readMessage reads a message with its length in front (RFC 1035, section 4.2.2).
func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}

func writeMessage(w io.Writer, msg []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	return err
}
