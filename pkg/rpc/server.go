package rpc

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
)

// readLimit bounds one WebSocket message: gRPC writes HTTP/2 frames of at most
// 16 KiB, gathered in a write buffer of 32 KiB.
const readLimit = 256 << 10

// handshakeTimeout is how long an upgraded connection may take to speak
// HTTP/2; keepalive watches it from then on.
const handshakeTimeout = 10 * time.Second

// requestIDHeader is where whoever gives requests their ids has put it.
const requestIDHeader = "X-Request-Id"

// maxStreams bounds the RPCs under way on one connection, where the server does
// not say otherwise. A node has one.
const maxStreams = 4

const (
	// upgradesAtOnce is how many requests are looked at at once. When thousands
	// of nodes come back at the same moment, those before them in the line are
	// let in at once, and the database has connections left for people.
	upgradesAtOnce = 6

	// upgradeWait is how long a request waits in that line: less than those wait
	// who dial. Then it is told to come again.
	upgradeWait = 8 * time.Second
	comeAgainIn = "2" // seconds

	// writeBuffer gathers the frames of a message. gRPC shares them: a connection
	// has one only while it writes. What is read is buffered below the
	// WebSocket already, see slimHijacker. Of ten thousand silent connections, each costs what it
	// keeps.
	writeBuffer = 8 << 10
)

// ServerConfig configures a Server.
type ServerConfig struct {
	// Authenticate checks the request's bearer token and returns who it is
	// for. It writes nothing; an error is passed to Refuse.
	Authenticate func(ctx context.Context, token string) (identity any, err error)
	// Refuse answers a request that Authenticate refused.
	Refuse func(w http.ResponseWriter, err error)
	// RemoteAddr returns where a request comes from; nil is whoever is at the
	// other end of its connection, who may be a proxy.
	RemoteAddr func(r *http.Request) string
	// Context adds to the context of each RPC what its service goes by: who calls,
	// and in which request the connection began. Nil adds nothing.
	Context func(ctx context.Context) context.Context
	// Ping is how often a silent connection is pinged, Timeout how long an
	// answer may take before the connection is closed. Zero means the defaults.
	Ping, Timeout time.Duration
	// MaxMessage bounds a message in bytes, and MaxStreams the RPCs under way on
	// one connection. Zero means MaxMessage and 4.
	MaxMessage, MaxStreams int
}

// Server speaks gRPC on the WebSockets that its handler accepts.
type Server struct {
	cfg      ServerConfig
	grpc     *grpc.Server
	incoming *listener
	upgrades chan struct{}  // holds a value for each request that is looked at
	serving  sync.WaitGroup // gRPC's loop, and the connections in conns

	mu     sync.Mutex // guards the following
	closed bool
	conns  map[*identifiedConn]struct{}
}

// NewServer starts a server; register adds the services to it. End it with
// Close.
func NewServer(cfg ServerConfig, register func(grpc.ServiceRegistrar)) *Server {
	if cfg.RemoteAddr == nil {
		cfg.RemoteAddr = func(r *http.Request) string { return r.RemoteAddr }
	}
	if cfg.Context == nil {
		cfg.Context = func(ctx context.Context) context.Context { return ctx }
	}
	s := &Server{
		cfg: cfg,
		grpc: grpc.NewServer(
			grpc.Creds(identityCreds{}),
			grpc.MaxRecvMsgSize(cmp.Or(cfg.MaxMessage, MaxMessage)),
			grpc.MaxConcurrentStreams(uint32(cmp.Or(cfg.MaxStreams, maxStreams))),
			grpc.ConnectionTimeout(handshakeTimeout),
			grpc.ReadBufferSize(0),
			grpc.WriteBufferSize(writeBuffer),
			grpc.WaitForHandlers(true),
			grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
				return stoppable(cfg.Context(ctx)), nil
			}),
			grpc.KeepaliveParams(keepalive.ServerParameters{
				Time:    cmp.Or(cfg.Ping, DefaultPing),
				Timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
			}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		),
		incoming: &listener{conns: make(chan net.Conn), closed: make(chan struct{})},
		upgrades: make(chan struct{}, upgradesAtOnce),
		conns:    make(map[*identifiedConn]struct{}),
	}
	register(s.grpc)
	s.serving.Go(func() {
		// It ends with Stop, which is no error.
		_ = s.grpc.Serve(s.incoming)
	})
	return s
}

// Drain takes no more connections and RPCs, waits for those under way to return,
// and closes. When ctx is done it is as Close. Streams that would go on for ever
// are their service's to end.
func (s *Server) Drain(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.grpc.GracefulStop()
	}()
	select {
	case <-drained:
	case <-ctx.Done():
	}
	s.Close()
	<-drained
}

// Close ends every connection and waits for the RPCs to return.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	// gRPC's Stop waits for connections that have not spoken HTTP/2 yet, but
	// does not close them.
	for _, c := range conns {
		c.Close()
	}
	s.grpc.Stop()
	s.serving.Wait()
}

// enter notes a connection that is being served, and reports whether the
// server still takes any. Closing it makes it leave.
func (s *Server) enter(c *identifiedConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	c.leave = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		s.serving.Done()
	}
	return true
}

// ServeHTTP upgrades a request with a good token and hands the connection to
// gRPC. It returns then: what net/http keeps of a request would be kept for as
// long as the connection lives.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := s.upgrade(w, r)
	if conn == nil {
		return
	}
	if !s.enter(conn) {
		conn.Close()
		return
	}
	select {
	case s.incoming.conns <- conn:
	case <-s.incoming.closed:
		conn.Close()
	}
}

// upgrade returns the connection of a request with a good token. Any other it
// has answered, and returns nil.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) *identifiedConn {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token = ""
	}
	patience := time.NewTimer(upgradeWait)
	defer patience.Stop()
	select {
	case s.upgrades <- struct{}{}:
		defer func() { <-s.upgrades }()
	case <-r.Context().Done():
		return nil
	case <-s.incoming.closed:
		comeAgain(w)
		return nil
	case <-patience.C:
		comeAgain(w)
		return nil
	}
	identity, err := s.cfg.Authenticate(r.Context(), token)
	if err != nil {
		s.cfg.Refuse(w, err)
		return nil
	}
	slim := &slimHijacker{ResponseWriter: w}
	ws, err := websocket.Accept(slim, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // Accept has answered
	}
	ws.SetReadLimit(readLimit)
	return &identifiedConn{
		slimConn: slimConn{Conn: slim.conn, ws: ws},
		identity: identity, remote: s.cfg.RemoteAddr(r), request: w.Header().Get(requestIDHeader), leave: func() {},
	}
}

// comeAgain answers a request that cannot be let in soon.
func comeAgain(w http.ResponseWriter) {
	w.Header().Set("Retry-After", comeAgainIn)
	http.Error(w, "many connect at once; try again in a moment", http.StatusServiceUnavailable)
}

// Identity returns what Authenticate returned for the RPC's connection.
func Identity(ctx context.Context) (any, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	info, ok := p.AuthInfo.(identityInfo)
	return info.identity, ok
}

// RemoteAddr returns the address that the RPC's connection came from.
func RemoteAddr(ctx context.Context) string { return infoOf(ctx).remote }

// RequestID returns the id of the request that the RPC's connection began with; ""
// if nobody gave it one.
func RequestID(ctx context.Context) string { return infoOf(ctx).request }

func infoOf(ctx context.Context) identityInfo {
	var info identityInfo
	if p, ok := peer.FromContext(ctx); ok {
		info, _ = p.AuthInfo.(identityInfo)
	}
	return info
}

type stopKey struct{}

// stoppable gives a stream's context what StopReceiving needs: the receiving side
// of a stream ends with the context that gRPC makes it with, and with no other.
func stoppable(ctx context.Context) context.Context {
	ctx, stop := context.WithCancel(ctx) // ends with the stream
	return context.WithValue(ctx, stopKey{}, stop)
}

// StopReceiving makes the Recv of a stream return an error, whose context ctx is.
// So a service that reads in the RPC's own goroutine can be ended by another that
// sent the last message, which is on its way all the same; the stream ends with
// the code Canceled behind it.
func StopReceiving(ctx context.Context) {
	if stop, ok := ctx.Value(stopKey{}).(context.CancelFunc); ok {
		stop()
	}
}

// identifiedConn is a connection that knows who it belongs to.
type identifiedConn struct {
	slimConn
	identity any
	remote   string
	request  string
	once     sync.Once
	leave    func() // called by the first Close
}

func (c *identifiedConn) Close() error {
	defer c.once.Do(c.leave)
	return c.slimConn.Close()
}

// identityCreds lift the identity from the connection into gRPC's context.
// Secrecy is not theirs to give: TLS is outside the WebSocket.
type identityCreds struct{}

type identityInfo struct {
	credentials.CommonAuthInfo
	identity        any
	remote, request string
}

func (identityInfo) AuthType() string { return "adit" }

var errNotIdentified = errors.New("rpc: connection did not come through Server.ServeHTTP")

func (identityCreds) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	ic, ok := c.(*identifiedConn)
	if !ok {
		return nil, nil, errNotIdentified
	}
	return c, identityInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity},
		identity:       ic.identity, remote: ic.remote, request: ic.request,
	}, nil
}

func (identityCreds) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errNotIdentified
}

func (identityCreds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "adit"}
}

func (c identityCreds) Clone() credentials.TransportCredentials { return c }

func (identityCreds) OverrideServerName(string) error { return nil }

// listener hands accepted WebSockets to gRPC.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "websocket" }
func (addr) String() string  { return "websocket" }
