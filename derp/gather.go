package derp

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tailscale.com/envknob"
)

// The DERP library writes to a client through a buffer of 2 KiB: a system call,
// and a TLS record, for every second packet. Both are worth a factor of four to
// a busy relay, so what it writes while the write before is still under way is
// gathered, and goes out at once.

const (
	// gatherLimit is how many bytes may wait for one client before the library
	// has to, and begins to drop: 180 full packets, 20 ms of 100 Mbit/s. As many
	// may be on their way.
	gatherLimit = 256 << 10

	// gatherKept is the size of buffers that are used again. One that grew
	// further is left to the garbage collector.
	gatherKept = 2 * gatherLimit

	// partingTime is how long a connection that is closed may take for what
	// was written before.
	partingTime = 100 * time.Millisecond
)

// sendQueue is how many packets the library queues for a client before it drops
// some. A sender's batch is up to 64 KiB, or 50 full packets, and has to find
// room before the receiver's goroutine gets its turn; the library's own 32 lose
// a third of it. It costs 20 KiB a client.
const sendQueue = 128

// deepenSendQueues has the library queue sendQueue packets, unless the
// environment says otherwise. It has no other switch.
func deepenSendQueues() {
	const knob = "TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH"
	if _, set := envknob.LookupInt(knob); !set {
		envknob.Setenv(knob, strconv.Itoa(sendQueue))
	}
}

// gather has the connections that next takes over write gathered.
func gather(next http.Handler) http.Handler {
	buffers := &sync.Pool{New: func() any { return new([]byte) }}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		next.ServeHTTP(gatherWriter{w, buffers}, req)
	})
}

// gatherWriter is a ResponseWriter that hands out gathering connections.
type gatherWriter struct {
	http.ResponseWriter
	buffers *sync.Pool
}

// Unwrap serves http.ResponseController.
func (w gatherWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack takes the connection over.
func (w gatherWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	g := newGatherConn(conn, w.buffers)
	return g, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(g)), nil
}

// gatherConn is a connection whose Write only waits while gatherLimit bytes do.
// An error of the connection comes back from a later Write. An idle one holds
// neither a buffer nor a goroutine: a relay has many clients, few of them busy.
type gatherConn struct {
	net.Conn
	buffers *sync.Pool // of *[]byte

	mu      sync.Mutex // guards what follows
	moved   sync.Cond  // of any change that somebody waits for
	waiting *[]byte    // not yet taken by drain; nil if nothing is
	busy    bool       // drain runs
	closed  bool
	err     error // of the connection
}

func newGatherConn(conn net.Conn, buffers *sync.Pool) *gatherConn {
	g := &gatherConn{Conn: conn, buffers: buffers}
	g.moved.L = &g.mu
	return g
}

// Write gathers p.
func (g *gatherConn) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.waiting != nil && len(*g.waiting) >= gatherLimit && g.err == nil && !g.closed {
		g.moved.Wait()
	}
	switch {
	case g.err != nil:
		return 0, g.err
	case g.closed:
		return 0, net.ErrClosed
	}
	if g.waiting == nil {
		g.waiting = g.buffers.Get().(*[]byte)
	}
	*g.waiting = append(*g.waiting, p...)
	if !g.busy {
		g.busy = true
		go g.drain() // Close waits for it
	}
	return len(p), nil
}

// drain writes what waits until nothing does.
func (g *gatherConn) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.waiting != nil && g.err == nil {
		batch := g.waiting
		g.waiting = nil
		g.moved.Broadcast()
		g.mu.Unlock()
		_, err := g.Conn.Write(*batch)
		if cap(*batch) <= gatherKept {
			*batch = (*batch)[:0]
			g.buffers.Put(batch)
		}
		g.mu.Lock()
		g.err = err
	}
	g.busy = false
	g.moved.Broadcast()
}

// Close closes the connection after what was written before, or after
// partingTime.
func (g *gatherConn) Close() error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.moved.Broadcast()
		if g.busy {
			// An error shows in the drain's Write.
			_ = g.Conn.SetWriteDeadline(time.Now().Add(partingTime))
		}
	}
	for g.busy {
		g.moved.Wait()
	}
	g.mu.Unlock()
	return g.Conn.Close()
}
