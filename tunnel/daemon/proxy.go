package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tailscale.com/net/proxymux"
	"tailscale.com/net/socks5"
	"tailscale.com/types/logger"

	"github.com/aditmesh/adit/tunnel/hostnet"
)

const (
	// proxyDialFor is how long a program may wait for its connection, a tunnel
	// included.
	proxyDialFor = 15 * time.Second

	// proxyHeader bounds how long a program may take to say where it wants to go.
	proxyHeader = 10 * time.Second
)

// proxy takes SOCKS5 and HTTP on one port of this machine, and leads to the mesh what
// is for it, by name or address, and everything else where it would go anyway.
type proxy struct {
	d   *daemon
	l   net.Listener
	web *http.Server
	wg  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool  // from programs
	in     map[netip.Addr]int // connections to each peer
	closed bool
}

// openProxy listens at an address. Close ends it.
func (d *daemon) openProxy(at string) (*proxy, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("daemon: proxy: %w", err)
	}
	p := &proxy{d: d, l: l, conns: make(map[net.Conn]bool), in: make(map[netip.Addr]int)}
	socks, web := proxymux.SplitSOCKSAndHTTP(allowedListener{l, p})
	server := &socks5.Server{Dialer: p.dial, Logf: logger.Discard}
	onward := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
	p.web = &http.Server{
		ReadHeaderTimeout: proxyHeader, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodConnect:
				p.connect(w, r)
			case r.URL.IsAbs():
				(&httputil.ReverseProxy{Transport: onward, Rewrite: func(*httputil.ProxyRequest) {}, ErrorLog: p.web.ErrorLog}).ServeHTTP(w, r)
			default:
				http.Error(w, "this is a proxy: have your program use it as one", http.StatusBadRequest)
			}
		}),
	}
	p.wg.Go(func() { _ = server.Serve(socks) }) // until it is closed
	p.wg.Go(func() { _ = p.web.Serve(web) })
	return p, nil
}

// Close ends the proxy and its connections.
func (p *proxy) Close() {
	p.l.Close()
	_ = p.web.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// dial connects to an agent by name or address, and to all else as this machine does.
func (p *proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	to, ours, err := p.d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	if !ours {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	number, err := net.LookupPort(network, port)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, proxyDialFor)
	defer cancel()
	p.use(to, 1)
	conn, err := p.d.dial(ctx, network, netip.AddrPortFrom(to, uint16(number)))
	if err != nil {
		p.use(to, -1)
		return nil, err
	}
	return &usingConn{Conn: conn, done: sync.OnceFunc(func() { p.use(to, -1) }), read: make(chan struct{})}, nil
}

// use counts the connections to a peer.
func (p *proxy) use(to netip.Addr, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in[to] += n; p.in[to] == 0 {
		delete(p.in, to)
	}
}

// connected are the peers that there are connections to.
func (p *proxy) connected() map[netip.Addr]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[netip.Addr]bool, len(p.in))
	for a := range p.in {
		all[a] = true
	}
	return all
}

// usingConn is a connection to a peer, which is counted.
type usingConn struct {
	net.Conn
	done func()
	once sync.Once
	read chan struct{} // closed when there is nothing more to read
}

// Read reads, and notes the end.
func (c *usingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(func() { close(c.read) })
	}
	return n, err
}

// ReadFrom sends what r has, and then the end. It returns when the peer, who may have
// an answer to all of it, has ended, too: the server for SOCKS5 ends both directions
// with the first.
func (c *usingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(struct{ io.Writer }{c.Conn}, r)
	if err == nil && c.CloseWrite() == nil {
		<-c.read
	}
	return n, err
}

// Close ends the connection.
func (c *usingConn) Close() error {
	c.done()
	c.once.Do(func() { close(c.read) })
	return c.Conn.Close()
}

// CloseWrite ends one direction.
func (c *usingConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// connect serves HTTP's CONNECT.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	far, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(far, buffered) // an end is an end, however it comes
		if half, ok := far.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(near, far)
	near.Close()
	<-sent
}

// allowedListener takes connections of the daemon's user alone: a port is everybody's.
type allowedListener struct {
	net.Listener
	p *proxy
}

// Accept waits for a connection of somebody who may.
func (l allowedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.p.d.mayUse(c) {
			c.Close()
			continue
		}
		t := &trackedConn{c, l.p}
		l.p.mu.Lock()
		if l.p.closed {
			c.Close()
		}
		l.p.conns[t] = true
		l.p.mu.Unlock()
		return t, nil
	}
}

// trackedConn is a connection from a program, until it is closed.
type trackedConn struct {
	net.Conn
	p *proxy
}

// Close ends the connection.
func (c *trackedConn) Close() error {
	c.p.mu.Lock()
	delete(c.p.conns, c)
	c.p.mu.Unlock()
	return c.Conn.Close()
}

// mayUse reports whether a local connection is of a user who may use the daemon. Where
// the system does not tell, it is anybody of this machine.
func (d *daemon) mayUse(c net.Conn) bool {
	from, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !from.IP.IsLoopback() {
		return ok // whoever has it listen elsewhere means others
	}
	uid, known := hostnet.OwnerOf(from.AddrPort())
	if !known || uid == 0 {
		return true
	}
	for _, u := range d.cfg.Users {
		if u == uid {
			return true
		}
	}
	d.log.Warn("another user of this machine wants to use the proxy", "uid", uid)
	return false
}

// errNoAgent is a name of the mesh that is nobody's.
var errNoAgent = errors.New("no such workspace, or not yours to reach")

// resolve returns the address of a name of the mesh; false for what is not on it.
func (d *daemon) resolve(ctx context.Context, host string) (addr netip.Addr, ours bool, err error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return a, d.owns(a), nil
	}
	sub, ours := strings.CutSuffix(host, "."+d.cfg.Suffix)
	if !ours {
		return addr, false, nil
	}
	if d.cfg.LinksOf != "" {
		if err := d.askLinked(ctx, sub); err != nil {
			return addr, true, fmt.Errorf("%s: %w", host, err)
		}
	}
	h, _ := d.table.Lookup(sub)
	if h == nil {
		return addr, true, fmt.Errorf("%s: %w", host, errNoAgent)
	}
	return h.Addr, true, nil
}

// dial connects to an agent by the node's own stack.
func (d *daemon) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	if err := d.connect(ctx, to.Addr()); err != nil {
		return nil, err
	}
	d.gate.Open(to.Addr()) // it is used
	d.mu.Lock()
	node := d.node
	d.mu.Unlock()
	if strings.HasPrefix(network, "udp") {
		return node.DialUDP(ctx, to)
	}
	return node.DialTCP(ctx, to)
}
