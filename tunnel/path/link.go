package path

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

const (
	// linkQueue is how many frames may wait for a relay: 50 ms of a 100 Mbit/s
	// line. What does not fit is dropped, as any full router would.
	linkQueue = 512

	// A relay is dialled anew at once, then with growing pauses.
	linkRetryMin = 100 * time.Millisecond
	linkRetryMax = 5 * time.Second

	// linkHealthyAfter is how long a connection must hold for its loss to
	// start from linkRetryMin again.
	linkHealthyAfter = 10 * time.Second

	// linkAnswersIn is how long a relay may take to answer a ping after the
	// network has changed: no relay is farther away.
	linkAnswersIn = time.Second
)

// frame is one packet on its way to or from a relay.
type frame struct {
	peer key.NodePublic
	data []byte
}

// link keeps the connection to one relay region up and moves frames over it.
// Its goroutines end when the context given to run does.
type link struct {
	region  uint32
	priv    key.NodePrivate
	roots   *x509.CertPool
	log     *slog.Logger
	deliver func(region uint32, from key.NodePublic, data []byte)
	// tried is told how often in a row no connection came about, and why the last did
	// not, also when one did.
	tried  func(region uint32, fails int, err error)
	frames *sync.Pool // of *frame

	out   chan *frame
	again chan struct{} // dial now
	prove chan struct{} // ask the relay for a sign of life
	home  atomic.Bool

	mu      sync.Mutex         // guards what follows
	relays  []relayAt          // those of the region, in the order in which they are tried
	turn    int                // how many of them were tried in vain
	at      relayAt            // the one that is dialled, or connected
	current *derpConn          // nil while not connected
	lastErr error              // why not
	giveUp  context.CancelFunc // ends the dial under way
}

// send queues a copy of data for dst. It never blocks; a full queue drops.
func (l *link) send(dst key.NodePublic, data []byte) {
	f := l.frames.Get().(*frame)
	f.peer = dst
	f.data = append(f.data[:0], data...)
	select {
	case l.out <- f:
	default:
		l.frames.Put(f)
	}
}

// setHome tells the relay whether this node is to be found there.
func (l *link) setHome(home bool) {
	if l.home.Swap(home) == home {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		l.notePreferred(l.current)
	}
}

func (l *link) notePreferred(c *derpConn) {
	// An error here is seen by the reader of the same connection, which
	// ends it.
	if err := c.client.NotePreferred(l.home.Load()); err == nil {
		_ = c.flush()
	}
}

// connection returns how the region is reached.
func (l *link) connection() RelayConnection {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil {
		return RelayConnection{URL: l.at.url, Connected: true, WebSocket: l.current.webSocket}
	}
	return RelayConnection{URL: l.relays[l.turn%len(l.relays)].url, Err: l.lastErr}
}

// setRelays replaces the relays that are tried, which are never none. A connection to
// one that is not among them is ended.
func (l *link) setRelays(relays []relayAt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Equal(relays, l.relays) {
		return
	}
	l.relays, l.turn = relays, 0
	switch {
	case l.current == nil:
		if l.giveUp != nil {
			l.giveUp()
		}
		signal(l.again)
	case !slices.Contains(relays, l.at):
		signal(l.again)
		l.current.close()
	}
}

// networkChanged gives up a dial that began on another network, ends a
// connection from an address that is no longer this machine's, and asks the
// relay at the far end of any other for a sign of life.
func (l *link) networkChanged() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil {
		if l.giveUp != nil {
			l.giveUp()
		}
		signal(l.again)
		return
	}
	if !IsLocal(l.current.localAddr()) {
		signal(l.again)
		l.current.close()
		return
	}
	l.current.expect(linkAnswersIn)
	signal(l.prove)
}

// run connects, again and again, until ctx is done.
func (l *link) run(ctx context.Context) {
	pause := linkRetryMin
	for ctx.Err() == nil {
		started := time.Now()
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		l.lastErr = err
		l.mu.Unlock()
		if time.Since(started) > linkHealthyAfter {
			pause = linkRetryMin
		}
		l.log.Debug("relay connection ended", "err", err, "retry", pause)
		select {
		case <-ctx.Done():
		case <-l.again:
			pause = linkRetryMin
			continue
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, linkRetryMax)
	}
}

// session is one connection, from dial to its end.
func (l *link) session(ctx context.Context) error {
	dialing, giveUp := context.WithCancel(ctx)
	defer giveUp()
	l.mu.Lock()
	l.giveUp = giveUp
	l.at = l.relays[l.turn%len(l.relays)]
	at := l.at
	l.mu.Unlock()
	conn, err := l.dial(dialing, at)
	if err != nil {
		l.mu.Lock()
		l.turn++
		inVain := l.turn
		l.mu.Unlock()
		if dialing.Err() == nil {
			l.tried(l.region, inVain, err)
		}
		return err
	}
	l.tried(l.region, 0, nil)
	l.notePreferred(conn)
	l.mu.Lock()
	l.current, l.lastErr, l.turn = conn, dialing.Err(), 0
	l.mu.Unlock()
	if dialing.Err() != nil {
		conn.close() // the network changed at the last moment
	}

	ctx, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := l.write(ctx, conn); err != nil {
			l.log.Debug("relay write failed", "err", err)
		}
		conn.close() // ends the reader, too
	})
	err = l.read(conn)
	cancel()
	writer.Wait()

	l.mu.Lock()
	l.current = nil
	l.mu.Unlock()
	return err
}

func (l *link) dial(ctx context.Context, at relayAt) (*derpConn, error) {
	u, err := url.Parse(at.url)
	if err != nil {
		return nil, fmt.Errorf("path: relay map: %w", err)
	}
	return dialDERP(ctx, u, at.pin, l.priv, l.roots, logger.Discard)
}

// write sends queued frames: all that wait, then one flush.
func (l *link) write(ctx context.Context, conn *derpConn) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.prove:
			if err := conn.ping(); err != nil {
				return err
			}
		case f := <-l.out:
			if err := l.sendQueued(conn, f); err != nil {
				return err
			}
		}
	}
}

func (l *link) sendQueued(conn *derpConn, f *frame) error {
	for {
		err := conn.client.Send(f.peer, f.data)
		l.frames.Put(f)
		if err != nil {
			return err
		}
		select {
		case f = <-l.out:
		default:
			return conn.flush()
		}
	}
}

// read delivers what arrives until the connection fails.
func (l *link) read(conn *derpConn) error {
	for {
		msg, err := conn.client.Recv()
		if err != nil {
			return err
		}
		switch m := msg.(type) {
		case derp.ReceivedPacket:
			l.deliver(l.region, m.Source, m.Data)
		case derp.PingMessage:
			if err := conn.client.SendPong(m); err != nil {
				return err
			}
			if err := conn.flush(); err != nil {
				return err
			}
		}
	}
}
