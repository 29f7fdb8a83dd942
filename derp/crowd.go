package derp

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// connectionsEach bounds the connections from one address: an office of a thousand
	// behind one, with one at its home and one at its peers'. They cost some 130 MB.
	connectionsEach = 2048

	// crowdSaidEvery is how often the log says that somebody has too many.
	crowdSaidEvery = time.Minute

	// networkBits is how much of an IPv6 address is one's own to choose no more.
	networkBits = 64
)

// crowd is a listener that has so many connections from an address at a time, and
// closes what is more at once.
type crowd struct {
	net.Listener
	most    int
	refused prometheus.Counter
	// note is told of those that are ended because they ask for nothing.
	note func(why endReason, from string, err error)
	log  *slog.Logger

	mu   sync.Mutex // guards what follows
	held map[netip.Addr]int
	said time.Time
}

func newCrowd(l net.Listener, most int, refused prometheus.Counter, note func(endReason, string, error), log *slog.Logger) *crowd {
	return &crowd{Listener: l, most: most, refused: refused, note: note, log: log, held: make(map[netip.Addr]int)}
}

// Accept returns the next connection of somebody who may have one more.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(conn)
		if c.enter(from, time.Now()) {
			v := &visitor{Conn: conn}
			v.leave = sync.OnceFunc(func() {
				c.leave(from)
				if why, err := v.ended(); err != nil {
					c.note(why, conn.RemoteAddr().String(), err)
				}
			})
			return v, nil
		}
		conn.Close()
	}
}

func (c *crowd) enter(from netip.Addr, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[from] < c.most {
		c.held[from]++
		return true
	}
	c.refused.Inc()
	if now.Sub(c.said) >= crowdSaidEvery {
		c.said = now
		c.log.Warn("connections are refused: their address has as many as it may", "from", from, "most", c.most)
	}
	return false
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[from]--; c.held[from] == 0 {
		delete(c.held, from)
	}
}

// sourceOf is what a connection counts for: its address, or its network.
func sourceOf(conn net.Conn) netip.Addr {
	at, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := at.AddrPort().Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.Prefix(networkBits); err == nil {
			return p.Addr()
		}
	}
	return ip
}
