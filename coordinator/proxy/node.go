package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/tunnel"
)

const (
	// dialTimeout bounds the way to an agent: a link, a handshake over the relay and
	// a connection.
	dialTimeout = 10 * time.Second

	// linkedFor is how long the link to an agent stays that nobody uses: a page that
	// is read asks again.
	linkedFor = time.Minute

	// headerTimeout is what the node may take, from this process, to say what it wants.
	headerTimeout = 10 * time.Second
)

// errClosed is that the coordinator shuts down.
var errClosed = errors.New("the coordinator is shutting down")

// node is the coordinator's own node on the mesh. It joins when somebody is first on
// the way to an agent, over a listener that only this machine reaches, and is linked
// to the agents that somebody is on the way to.
type node struct {
	cfg Config
	log *slog.Logger
	// starting holds a value while the node is being started.
	starting chan struct{}
	going    sync.WaitGroup // what ends the ways to agents that are gone

	mu     sync.Mutex // guards what follows
	closed bool
	mesh   *tunnel.Node // nil until it is needed
	web    *http.Server // what it reaches the coordinator by
	ways   map[uuid.UUID]*way
}

// way is the link to an agent.
type way struct {
	users    int
	withdraw func()      // ends that the hub lets us be linked
	idle     *time.Timer // set while nobody uses it
	conns    map[*used]bool
}

func newNode(cfg Config) *node {
	return &node{cfg: cfg, log: cfg.Logger, starting: make(chan struct{}, 1), ways: make(map[uuid.UUID]*way)}
}

// dial connects to a port of an agent for somebody who may be there, which is the
// caller's to know. An agent that does not answer is left alone for a while.
func (n *node) dial(ctx context.Context, agent uuid.UUID, port uint16) (net.Conn, error) {
	w, leave, err := n.enter(agent)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	var refused error // by what listens there, or does not: the agent is well
	err = n.cfg.Breakers.Breaker(breaker.Agent, agent.String()).Do(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		mesh, err := n.join(ctx)
		if err != nil {
			return err
		}
		at, err := mesh.Connect(ctx, agent.String())
		if err != nil {
			return err
		}
		conn, err = mesh.DialTCP(ctx, netip.AddrPortFrom(at, port))
		if err != nil && ctx.Err() == nil {
			refused, err = err, nil
		}
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		leave()
		return nil, fmt.Errorf("proxy: reach port %d of agent %s: %w", port, agent, err)
	}
	u := &used{Conn: conn}
	u.leave = sync.OnceFunc(func() {
		n.mu.Lock()
		delete(w.conns, u)
		n.mu.Unlock()
		leave()
	})
	n.mu.Lock()
	there := n.ways[agent] == w
	if there {
		w.conns[u] = true
	}
	n.mu.Unlock()
	if !there { // it went while we connected
		return nil, errors.Join(fmt.Errorf("proxy: reach port %d of agent %s: it has gone", port, agent), u.Close())
	}
	return u, nil
}

// used is a connection by which a link is used.
type used struct {
	net.Conn
	leave func()
}

func (u *used) Close() error {
	defer u.leave()
	return u.Conn.Close()
}

// CloseWrite says that nothing more is sent.
func (u *used) CloseWrite() error {
	if half, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// enter has the node be linked to an agent until leave is called, and a while longer.
func (n *node) enter(agent uuid.UUID) (w *way, leave func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, errClosed
	}
	w = n.ways[agent]
	if w == nil {
		w = &way{withdraw: n.cfg.Vouch(agent), conns: make(map[*used]bool)}
		n.ways[agent] = w
	}
	if w.idle != nil {
		w.idle.Stop()
		w.idle = nil
	}
	w.users++
	return w, func() { n.leave(agent, w) }, nil
}

func (n *node) leave(agent uuid.UUID, w *way) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.users--; w.users > 0 || n.ways[agent] != w {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(linkedFor, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if w.idle == timer {
			n.unlink(agent)
		}
	})
	w.idle = timer
}

// unlink ends the link to an agent. n.mu is held.
func (n *node) unlink(agent uuid.UUID) {
	w := n.ways[agent]
	if w == nil {
		return
	}
	if w.idle != nil {
		w.idle.Stop()
	}
	delete(n.ways, agent)
	if n.mesh != nil {
		n.mesh.Release(agent.String())
	}
	w.withdraw()
}

// gone ends what goes to an agent that is not there any more, or is another process: a
// connection that waits for its answer would wait for long.
func (n *node) gone(agent uuid.UUID) {
	n.mu.Lock()
	var conns []*used
	if w := n.ways[agent]; w != nil {
		conns = slices.Collect(maps.Keys(w.conns))
	}
	n.unlink(agent)
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // whoever uses it hears of it
	}
}

// join returns the node, once it is on the mesh.
func (n *node) join(ctx context.Context) (*tunnel.Node, error) {
	select {
	case n.starting <- struct{}{}:
		defer func() { <-n.starting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	mesh, closed := n.mesh, n.closed
	n.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if mesh != nil {
		select {
		case <-mesh.Done():
			n.log.Warn("the coordinator's node has left the mesh and joins again", "err", mesh.Err())
			n.stop()
		default:
			return mesh, nil
		}
	}
	return n.start(ctx)
}

func (n *node) start(ctx context.Context) (*tunnel.Node, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: listen for the coordinator's node: %w", err)
	}
	web := &http.Server{Handler: n.cfg.Control, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	go func() { _ = web.Serve(l) }() // ends with Close
	mesh, err := tunnel.Start(ctx, tunnel.Config{
		URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, Token: n.cfg.Token, Version: n.cfg.Version, Logger: n.log,
		PeerGone: func(id string) {
			if agent, err := uuid.Parse(id); err == nil {
				n.going.Go(func() { n.gone(agent) }) // which asks the node that calls
			}
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proxy: join the mesh: %w", err), web.Close())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errors.Join(errClosed, mesh.Close(), web.Close())
	}
	n.mesh, n.web = mesh, web
	return mesh, nil
}

// stop takes the node from the mesh.
func (n *node) stop() {
	n.mu.Lock()
	mesh, web := n.mesh, n.web
	n.mesh, n.web = nil, nil
	n.mu.Unlock()
	if mesh == nil {
		return
	}
	if err := errors.Join(mesh.Close(), web.Close()); err != nil {
		n.log.Debug("the coordinator's node left something behind", "err", err)
	}
}

// close leaves the mesh for good.
func (n *node) close() {
	n.mu.Lock()
	n.closed = true
	for agent := range n.ways {
		n.unlink(agent)
	}
	n.mu.Unlock()
	n.stop()
	n.going.Wait()
}

// path is how packets to an agent travel, and for how long; empty while that is not
// known.
func (n *node) path(agent uuid.UUID) (kind string, rtt time.Duration) {
	n.mu.Lock()
	mesh := n.mesh
	n.mu.Unlock()
	if mesh == nil {
		return "", 0
	}
	p, ok := mesh.Peer(agent.String())
	if !ok {
		return "", 0
	}
	return p.Path.Kind, p.RTT
}
