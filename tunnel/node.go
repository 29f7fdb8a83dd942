package tunnel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/aditmesh/adit/pkg/beat"
	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/tunnel/netstack"
	"github.com/aditmesh/adit/tunnel/path"
)

// Errors that end a node, or a call, and that callers tell apart.
var (
	// ErrReplaced: another session with the same token took this one's place.
	ErrReplaced = errors.New("replaced by a newer session with the same token")
	// ErrRevoked: the token was revoked or the workspace deleted.
	ErrRevoked = errors.New("access revoked")
	// ErrRefused: the coordinator does not accept this node; the text says why.
	ErrRefused = errors.New("refused by the coordinator")
	// ErrPeerNotFound: no such peer, or none this node may reach.
	ErrPeerNotFound = errors.New("no such peer, or not yours to reach")
	// ErrPeerOffline: the peer exists and is not connected.
	ErrPeerOffline = errors.New("peer is not connected")
	// ErrClosed: the node was closed.
	ErrClosed = errors.New("node closed")
	// ErrNoStack: the node runs on an interface; use the machine's own stack.
	ErrNoStack = errors.New("the node has no stack in the process")
)

// Config configures a node.
type Config struct {
	// URL of the coordinator.
	URL *url.URL
	// Token of a user or an agent.
	Token string
	// Renew returns the token that is good now, in place of Token, where tokens last for
	// minutes: each control session asks for one. Nil means that Token stays.
	Renew func(context.Context) (string, error)
	// OfWorkspace says that the token is an agent's, or from one, and the node no agent but
	// a client of its workspace, which reaches other workspaces by the policy's links.
	OfWorkspace bool
	// Identity is who the node was in an earlier process, with the same address and key;
	// nil is somebody new. Another process must not be it at the same time.
	Identity *Identity
	// Device's connections of TCP may be older than the node. Until Adopt tells which there
	// are, a segment that may be of one is dropped without a word, and not refused.
	Adopts bool
	// HTTPClient opens the control session; nil means http.DefaultClient.
	HTTPClient *http.Client
	// RootCAs verify relays that are not pinned; nil means the system's.
	RootCAs *x509.CertPool
	// Logger gets events worth a line; nil discards them.
	Logger *slog.Logger
	// Version is told to the coordinator, for people.
	Version string
	// Persist makes Start wait for a coordinator that cannot be reached yet;
	// else Start fails at once.
	Persist bool
	// Device carries the tunnel's packets to and from this machine's own
	// network stack, such as a TUN interface. The node closes it. Its address
	// and routes are the caller's to set. Nil means a stack in the process,
	// which DialTCP, DialUDP, ListenTCP, ListenUDP, HandleTCP and Ping need.
	Device tun.Device
	// Leads says which addresses beside the mesh's the device leads to: none of them is an
	// address of a peer's to send its own packets to. It is called under locks and takes
	// none. Nil means none.
	Leads func(netip.Addr) bool
	// Addressed is called with the node's address whenever the coordinator gives it
	// one, which is the same as before unless the node was away for very long. It
	// must not block. Nil means that Address is good enough.
	Addressed func(netip.Addr)
	// PeerGone is called when the tunnel to a peer is no more, and what goes through it
	// will never arrive: the peer left, was cut off, or is another process now. It must
	// not block, nor call the node. Nil means nobody wants to know.
	PeerGone func(id string)
	// Path is what the node is to do without on its way to peers.
	Path path.Options
	// Agent says that the node is a workspace's agent: it leaves it to its clients, which use
	// several, to keep paths that nothing goes by.
	Agent bool
	// Report returns what an agent has to tell of its workspace since the last time
	// it was asked, or nil. It is asked every two seconds while there is a session,
	// and by Tell. In a new session, what was told in the last may be lost. A nil
	// function has nothing to tell.
	Report func(newSession bool) *meshv1.Report
	// Ping and Timeout watch the control session: how often it is pinged when
	// silent, and how long an answer may take. Zero means 15 s each.
	Ping, Timeout time.Duration
}

// Node is a member of the mesh. Its methods may be called concurrently.
type Node struct {
	cfg    Config
	log    *slog.Logger
	bind   *path.Bind
	stack  *netstack.Stack // nil with a Config.Device
	fit    *fittingDevice
	filter *filteredDevice
	device *device.Device
	priv   [32]byte
	pub    [32]byte

	cancel context.CancelFunc
	wg     sync.WaitGroup // control loop, housekeeping
	done   chan struct{}  // closed when the node ended
	closed chan struct{}  // closed by Close
	once   sync.Once      // guards closed

	// self is what the path engine last found out about this node's network.
	self atomic.Pointer[path.Self]
	// selfNews tells Network that there is more to know.
	selfNews chan struct{}

	// activations are peers that wait to get into the device.
	activations chan activation

	// dirty tells the session's sender that there is something to say.
	dirty chan struct{}

	// moved tells the control session that this machine's network has changed.
	moved chan struct{}

	// mu guards what follows. Bind and device may be called under it; they
	// never call back while holding locks of their own.
	mu       sync.Mutex
	id, name string
	addr     netip.Addr
	resume   string
	joined   bool // welcomed at least once
	closing  bool
	err      error // why the node ended
	peers    map[string]*peer
	policies map[string][]*meshv1.Allow
	wants    map[string]bool
	released map[string]bool   // given up since the coordinator was last told of wants
	refused  map[string]string // peers the coordinator would not give, and why
	askLater map[string]bool   // peers it could not give just now
	askAgain map[string]bool   // those whose time has come
	changed  chan struct{}     // closed and replaced at every change of the above
}

// Start joins the mesh and returns once the coordinator gave the node an
// address. The context governs the start alone; Close ends the node.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	priv, err := privateKey(cfg.Identity)
	if err != nil {
		return nil, fmt.Errorf("tunnel: make a key: %w", err)
	}
	var stack *netstack.Stack
	dev := cfg.Device
	if dev == nil {
		if stack, err = netstack.New(stackMTU); err != nil {
			return nil, fmt.Errorf("tunnel: %w", err)
		}
		dev = stack
	}
	fit := newFittingDevice(dev, stack != nil)
	n := &Node{
		cfg: cfg, log: cfg.Logger, stack: stack, fit: fit, filter: newFilteredDevice(fit),
		priv: [32]byte(priv.Bytes()), pub: [32]byte(priv.PublicKey().Bytes()),
		done: make(chan struct{}), closed: make(chan struct{}), dirty: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		selfNews: make(chan struct{}, 1),
		peers:    make(map[string]*peer), policies: make(map[string][]*meshv1.Allow),
		wants: make(map[string]bool), released: make(map[string]bool), refused: make(map[string]string),
		askLater: make(map[string]bool), askAgain: make(map[string]bool),
		changed: make(chan struct{}), activations: make(chan activation, maxActivating),
	}
	if cfg.Identity != nil {
		n.resume = cfg.Identity.Resume
	}
	n.filter.opened = fit.noteOpened
	n.filter.settling.Store(cfg.Adopts)
	if s, ok := dev.(sender); ok {
		n.filter.refused = newRefuser(s)
	}
	n.self.Store(&path.Self{})
	n.bind, err = path.New(path.Config{
		PrivateKey:      n.priv,
		OnSelf:          n.setSelf,
		OnNetworkChange: n.networkChanged,
		Activate:        n.activate,
		Options:         cfg.Path,
		OnReceived:      n.filter.in.enter,
		OnSent:          n.filter.out.leave,
		Yields:          cfg.Agent,
		Exclude: func(a netip.Addr) bool {
			return meshaddr.Prefix.Contains(a) || cfg.Leads != nil && cfg.Leads(a)
		},
		RootCAs: cfg.RootCAs,
		Logger:  cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("tunnel: %w", errors.Join(err, dev.Close()))
	}
	n.device = device.NewDevice(n.filter, n.bind, deviceLogger(cfg.Logger))
	if err := n.device.IpcSet(fmt.Sprintf("private_key=%x\n", n.priv)); err != nil {
		n.closeLayers()
		return nil, fmt.Errorf("tunnel: set the key: %w", err)
	}
	if err := n.device.Up(); err != nil {
		n.closeLayers()
		return nil, fmt.Errorf("tunnel: open sockets: %w", err)
	}

	run, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.wg.Go(func() { n.runControl(run) })
	n.wg.Go(func() { n.housekeep(run) })
	n.wg.Go(func() { n.runActivations(run) })
	if err := n.waitJoined(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Node) waitJoined(ctx context.Context) error {
	for {
		n.mu.Lock()
		joined, changed := n.joined, n.changed
		n.mu.Unlock()
		if joined {
			return nil
		}
		select {
		case <-changed:
		case <-n.done:
			return n.Err()
		case <-ctx.Done():
			return fmt.Errorf("tunnel: join %s: %w", n.cfg.URL.Redacted(), context.Cause(ctx))
		}
	}
}

// Close says bye to the coordinator, ends every connection and waits for all
// that Start began.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	n.once.Do(func() { close(n.closed) })
	n.poke()
	// The session says bye and ends by itself; don't wait for a dead network.
	bye := time.AfterFunc(byeTimeout, n.cancel)
	defer bye.Stop()
	n.wg.Wait()
	n.cancel()
	return n.closeLayers()
}

func (n *Node) closeLayers() error {
	n.device.Close() // closes bind sockets and stack
	return n.bind.Shutdown()
}

// Done is closed when the node has ended for good.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node ended; nil before Done is closed.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// ID returns the node's id.
func (n *Node) ID() string { n.mu.Lock(); defer n.mu.Unlock(); return n.id }

// Name returns the node's name, for people.
func (n *Node) Name() string { n.mu.Lock(); defer n.mu.Unlock(); return n.name }

// Address returns the node's mesh address.
func (n *Node) Address() netip.Addr { n.mu.Lock(); defer n.mu.Unlock(); return n.addr }

// Connect asks for a link to the peer with the given node id and waits until
// both ends have programmed it. It returns the peer's address. When ctx ends
// first the error matches ErrPeerOffline if the peer is known but not
// connected.
func (n *Node) Connect(ctx context.Context, id string) (netip.Addr, error) {
	n.mu.Lock()
	n.wants[id] = true
	delete(n.refused, id)
	n.mu.Unlock()
	n.poke()
	for {
		n.mu.Lock()
		p, why, changed := n.peers[id], n.refused[id], n.changed
		var heard <-chan struct{}
		if p != nil && p.state == peerHere && p.path != nil && len(p.addrs) > 0 {
			// The peer's own word is as good as the coordinator's, and sooner.
			heard = p.path.Heard()
			if p.ready || isClosed(heard) {
				defer n.mu.Unlock()
				return p.addrs[0], nil
			}
		}
		if why != "" {
			delete(n.wants, id)
		}
		n.mu.Unlock()
		if why != "" {
			return netip.Addr{}, fmt.Errorf("tunnel: connect to peer %s: %w", id, ErrPeerNotFound)
		}
		select {
		case <-changed:
		case <-heard:
		case <-n.done:
			return netip.Addr{}, fmt.Errorf("tunnel: connect to peer %s: %w", id, n.Err())
		case <-ctx.Done():
			err := context.Cause(ctx)
			if p != nil && p.state == peerLost {
				err = fmt.Errorf("%w (%w)", ErrPeerOffline, err)
			}
			return netip.Addr{}, fmt.Errorf("tunnel: connect to peer %s: %w", id, err)
		}
	}
}

// Release gives the link to a peer up that Connect asked for. Both ends forget it.
func (n *Node) Release(id string) {
	n.mu.Lock()
	// A want that follows is one; and a peer may be from before, when this node was
	// another process.
	n.released[id] = n.released[id] || n.wants[id] || n.peers[id] != nil
	delete(n.wants, id)
	delete(n.refused, id)
	n.removePeerLocked(id)
	delete(n.policies, id)
	n.changedLocked()
	n.mu.Unlock()
}

// DialTCP connects to a port of a peer. The connection has CloseWrite.
func (n *Node) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if n.stack == nil {
		return nil, ErrNoStack
	}
	conn, err := n.stack.DialTCP(ctx, to)
	if err != nil && n.filter.denied.isLast(to.Addr(), tcpPort(to.Port())) {
		return nil, fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return conn, err
}

// DialUDP returns a UDP socket connected to a port of a peer.
func (n *Node) DialUDP(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	if n.stack == nil {
		return nil, ErrNoStack
	}
	return n.stack.DialUDP(to)
}

// ListenTCP listens on a port of the node's mesh address. The RemoteAddr of
// what it accepts is the mesh address of the peer, proven by WireGuard.
func (n *Node) ListenTCP(port uint16) (net.Listener, error) {
	if n.stack == nil {
		return nil, ErrNoStack
	}
	return n.stack.ListenTCP(port)
}

// ListenUDP listens on a UDP port of the node's mesh address.
func (n *Node) ListenUDP(port uint16) (net.PacketConn, error) {
	if n.stack == nil {
		return nil, ErrNoStack
	}
	return n.stack.ListenUDP(port)
}

// HandleTCP takes the connections to ports that nobody listens on; see
// netstack.Stack.HandleTCP.
func (n *Node) HandleTCP(open func(ctx context.Context, port uint16) (serve func(net.Conn), err error)) {
	if n.stack != nil {
		n.stack.HandleTCP(open)
	}
}

// Ping sends an echo request through the tunnel and waits for the answer.
func (n *Node) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	if n.stack == nil {
		return 0, ErrNoStack
	}
	ctx, stop := n.UntilDenied(ctx, to)
	defer stop()
	return n.stack.Ping(ctx, to)
}

// changedLocked wakes whoever waits for a change.
func (n *Node) changedLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
	n.poke()
}

// poke has the session look for something to say.
func (n *Node) poke() {
	select {
	case n.dirty <- struct{}{}:
	default:
	}
}

// Tell has Config.Report asked at once, if there is a session.
func (n *Node) Tell() { n.poke() }

// networkChanged has the control session look whether it has survived.
func (n *Node) networkChanged() {
	select {
	case n.moved <- struct{}{}:
	default:
	}
}

// setSelf takes what the path engine found out about this node's network. The
// engine calls it under locks of its own, so it takes none.
func (n *Node) setSelf(s path.Self) {
	n.log.Debug("network known", "nat", s.NAT, "home_relay", s.HomeRelay, "endpoints", s.Endpoints)
	n.self.Store(&s)
	select {
	case n.selfNews <- struct{}{}:
	default:
	}
	n.poke()
}

// housekeepEvery is how often peers and verdicts are looked at, and how
// long a peer that the coordinator could not give is not asked for again.
const housekeepEvery = 2 * time.Second

// housekeep drops peers lost for good, takes idle ones out of the device, and
// has changed verdicts reported.
func (n *Node) housekeep(ctx context.Context) {
	tick := beat.NewTimer(housekeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.done:
			return
		case now := <-tick.C:
			tick.Again()
			n.dropLost(now)
			n.retireIdle(now)
			n.mu.Lock()
			n.askLater, n.askAgain = n.askAgain, n.askLater
			n.mu.Unlock()
			n.poke()
		}
	}
}

// deviceLogger passes on what the WireGuard device complains about. Its
// verbose lines are a line a packet at times, so they are left out.
func deviceLogger(log *slog.Logger) *device.Logger {
	return &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(format string, args ...any) { log.Debug("wireguard: " + fmt.Sprintf(format, args...)) },
	}
}
