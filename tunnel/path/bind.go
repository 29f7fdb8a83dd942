package path

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/types/key"
)

// relayInQueue is how many relayed packets may wait for the device.
const relayInQueue = 512

// Config configures a Bind.
type Config struct {
	// PrivateKey is the WireGuard key; relays know the node by it.
	PrivateKey [32]byte
	// OnSelf is called, never concurrently, with each change of how this node
	// can be reached. It must not block. Nil means nobody wants to know.
	OnSelf func(Self)
	// Exclude says which addresses are never candidates, such as the mesh's
	// own. Nil excludes none.
	Exclude func(netip.Addr) bool
	// RootCAs verify relays without a pinned certificate. Nil means the
	// system's.
	RootCAs *x509.CertPool
	// Logger gets events worth a line each; nil discards.
	Logger *slog.Logger
}

// Bind implements conn.Bind. All methods may be called concurrently.
type Bind struct {
	cfg   Config
	log   *slog.Logger
	priv  key.NodePrivate
	pub   key.NodePublic
	disco key.DiscoPrivate
	epoch time.Time // origin of the nanoseconds in Peer

	home    atomic.Uint32 // own home region; 0 none
	socks   atomic.Pointer[sockets]
	relayIn chan relayed
	frames  sync.Pool  // of *frame
	wake    chan *Peer // peers whose machine is due before its time
	probe   *prober

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // engine, prober, links

	// mu guards what follows. Nothing else is locked under it.
	mu      sync.RWMutex
	byKey   map[key.NodePublic]*Peer
	byDisco map[key.DiscoPublic]*Peer
	byAddr  map[netip.AddrPort]*Peer // proven by a disco frame
	links   map[uint32]*runningLink
	relays  map[uint32]Region
}

// sockets are the UDP sockets of one Open; nil where a family is missing.
type sockets struct {
	v4, v6 *socket
	closed chan struct{}
}

// relayed is a tunnel packet that came over a relay.
type relayed struct {
	peer  *Peer
	frame *frame
}

// runningLink is a link and what ends it.
type runningLink struct {
	*link
	relay Relay
	stop  context.CancelFunc
	done  chan struct{}
}

var _ conn.Bind = (*Bind)(nil)

// New makes a Bind and starts its goroutines; Shutdown ends them.
func New(cfg Config) (*Bind, error) {
	if cfg.OnSelf == nil {
		cfg.OnSelf = func(Self) {}
	}
	if cfg.Exclude == nil {
		cfg.Exclude = func(netip.Addr) bool { return false }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	priv, err := nodePrivate(cfg.PrivateKey)
	if err != nil {
		return nil, err
	}
	b := &Bind{
		cfg: cfg, log: cfg.Logger,
		priv: priv, pub: priv.Public(), disco: key.NewDisco(),
		epoch:   time.Now().Add(-time.Nanosecond),
		relayIn: make(chan relayed, relayInQueue),
		frames:  sync.Pool{New: func() any { return &frame{data: make([]byte, 0, 2048)} }},
		wake:    make(chan *Peer, 64),
		byKey:   make(map[key.NodePublic]*Peer),
		byDisco: make(map[key.DiscoPublic]*Peer),
		byAddr:  make(map[netip.AddrPort]*Peer),
		links:   make(map[uint32]*runningLink),
		relays:  make(map[uint32]Region),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.probe = newProber(b)
	b.wg.Go(b.runEngine)
	b.wg.Go(func() { b.probe.run(b.ctx) })
	return b, nil
}

// DiscoKey returns the public disco key, new with each Bind.
func (b *Bind) DiscoKey() [32]byte {
	return [32]byte(b.disco.Public().AppendTo(nil))
}

// Shutdown ends everything that New and SetRelays started and waits for it.
// The device must be closed before.
func (b *Bind) Shutdown() error {
	b.cancel()
	err := b.Close()
	b.wg.Wait()
	return err
}

// now is the data path's clock: nanoseconds since epoch, never zero.
func (b *Bind) now() int64 { return int64(time.Since(b.epoch)) }

func (b *Bind) timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return b.epoch.Add(time.Duration(ns))
}

// Open opens the UDP sockets on port; the device calls it. A machine without
// one of the two families gets by with the other, and one without either with
// the relays.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	if b.socks.Load() != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	s := &sockets{closed: make(chan struct{})}
	var fns []conn.ReceiveFunc
	var err4, err6 error
	if s.v4, err4 = listen("udp4", port); err4 == nil {
		port = s.v4.port()
		fns = append(fns, b.receiver(s.v4))
	}
	if s.v6, err6 = listen("udp6", port); err6 != nil {
		// The port may be free for one family only.
		s.v6, err6 = listen("udp6", 0)
	}
	if err6 == nil {
		fns = append(fns, b.receiver(s.v6))
	}
	if err4 != nil || err6 != nil {
		b.log.Debug("no UDP socket for one address family", "udp4", err4, "udp6", err6)
	}
	fns = append(fns, b.relayReceiver(s))
	b.socks.Store(s)
	b.probe.poke()
	return fns, port, nil
}

// Close closes the sockets; the receive functions return net.ErrClosed.
func (b *Bind) Close() error {
	s := b.socks.Swap(nil)
	if s == nil {
		return nil
	}
	close(s.closed)
	var errs error
	for _, sock := range []*socket{s.v4, s.v6} {
		if sock != nil {
			errs = errors.Join(errs, sock.close())
		}
	}
	return errs
}

// SetMark does nothing: adit does not route its own packets by mark.
func (b *Bind) SetMark(uint32) error { return nil }

// BatchSize is how many packets Send and the receive functions move at most.
func (b *Bind) BatchSize() int { return batchSize }

// ParseEndpoint finds the peer whose EndpointString is s.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	k, err := parseHexNode(s)
	if err != nil {
		return nil, fmt.Errorf("path: endpoint %q: %w", s, err)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	p := b.byKey[k]
	if p == nil {
		return nil, fmt.Errorf("path: endpoint %s: no such peer", k.ShortString())
	}
	return p, nil
}

// Send sends bufs to the peer ep over its present route. Packets that no path
// takes are lost, as on any network; that is no error.
func (b *Bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	p, ok := ep.(*Peer)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	p.noteSend(b.now())
	r := p.route.Load()
	if r.asleep {
		b.wakePeer(p)
	}
	// Handshakes are rare and dear to lose; WireGuard drops the copy.
	relay := r.relay || isHandshake(bufs[0])
	if r.direct.IsValid() {
		if err := b.writeUDP(bufs, r.direct); err != nil {
			relay = true
		}
	}
	if relay {
		if l := b.link(p.relayRegion()); l != nil {
			for _, buf := range bufs {
				l.send(p.key, buf)
			}
		}
	}
	return nil
}

func (b *Bind) writeUDP(bufs [][]byte, addr netip.AddrPort) error {
	s := b.socketFor(addr.Addr())
	if s == nil {
		return net.ErrClosed
	}
	return s.writeBatch(bufs, addr)
}

// socketFor returns the socket of ip's family, or nil.
func (b *Bind) socketFor(ip netip.Addr) *socket {
	s := b.socks.Load()
	switch {
	case s == nil:
		return nil
	case ip.Is4():
		return s.v4
	default:
		return s.v6
	}
}

// receiver returns the function that reads sock for the device. What is not
// WireGuard is handled on the way, and its size reported as zero.
func (b *Bind) receiver(sock *socket) conn.ReceiveFunc {
	// The sender of the last packet is most often that of the next.
	var lastAddr netip.AddrPort
	var lastPeer *Peer
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		now := b.now()
		lastAddr = netip.AddrPort{}
		return sock.read(bufs, func(i, n int, from netip.AddrPort) {
			sizes[i] = 0
			if n == 0 {
				return
			}
			switch classify(bufs[i][:n]) {
			case kindWireGuard:
				if from != lastAddr {
					lastAddr, lastPeer = from, b.peerAt(from)
				}
				if lastPeer == nil {
					return
				}
				lastPeer.noteRecv(now, true)
				sizes[i], eps[i] = n, lastPeer
			case kindDisco:
				b.onDisco(bufs[i][:n], discoFrom{addr: from})
			case kindSTUN:
				b.probe.onSTUN(bufs[i][:n], from)
			}
		})
	}
}

func (b *Bind) peerAt(addr netip.AddrPort) *Peer {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byAddr[addr]
}

// relayReceiver returns the function that hands relayed packets to the device.
func (b *Bind) relayReceiver(s *sockets) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n := 0
		take := func(r relayed) {
			sizes[n], eps[n] = copy(bufs[n], r.frame.data), r.peer
			b.frames.Put(r.frame)
			n++
		}
		select {
		case <-s.closed:
			return 0, net.ErrClosed
		case r := <-b.relayIn:
			take(r)
		}
		for n < len(bufs) {
			select {
			case r := <-b.relayIn:
				take(r)
			default:
				return n, nil
			}
		}
		return n, nil
	}
}

// onRelayed handles a packet that a relay delivered.
func (b *Bind) onRelayed(region uint32, from key.NodePublic, data []byte) {
	b.mu.RLock()
	p := b.byKey[from]
	b.mu.RUnlock()
	if p == nil {
		return
	}
	switch classify(data) {
	case kindWireGuard:
		p.noteRecv(b.now(), false)
		f := b.frames.Get().(*frame)
		f.data = append(f.data[:0], data...)
		select {
		case b.relayIn <- relayed{p, f}:
		default: // the device is behind; WireGuard and TCP cope with loss
			b.frames.Put(f)
		}
	case kindDisco:
		b.onDisco(data, discoFrom{region: region, relayed: p})
	}
}

func newTxID() (tx txID) {
	rand.Read(tx[:])
	return tx
}
