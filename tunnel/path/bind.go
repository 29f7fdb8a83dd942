package path

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/types/key"
)

// inboxSize is how many packets that came by other ways than the shared sockets
// may wait for the device.
const inboxSize = 512

// Options are what a node is to do without. The zero value is nothing.
type Options struct {
	// RelayOnly keeps the node from UDP altogether: all packets take relays.
	RelayOnly bool
	// NoPortGuessing keeps the node from opening and trying many ports where one
	// end's NAT is hard. Such peers then stay on the relay.
	NoPortGuessing bool
	// NoUDPOffload keeps the kernel from joining and splitting datagrams.
	NoUDPOffload bool
	// NoPortMapping keeps the node from asking this network's router, by UPnP,
	// NAT-PMP or PCP, to let packets in.
	NoPortMapping bool
	// RelayRegion names, separated by commas, the codes of regions whose relays this
	// node is to be reached by, and behind a "-" of those that it is not. Empty leaves
	// it to their distance.
	RelayRegion string
}

// Config configures a Bind.
type Config struct {
	// PrivateKey is the WireGuard key; relays know the node by it.
	PrivateKey [32]byte
	// OnSelf is called, never concurrently, with each change of how this node
	// can be reached. It must not block. Nil means nobody wants to know.
	OnSelf func(Self)
	// OnNetworkChange is called, never concurrently, after this machine's
	// addresses or routes have changed or it has slept, and OnSelf with what
	// is known of that. It must not block. Nil means nobody wants to know.
	OnNetworkChange func()
	Options
	// Activate has a peer put into the device and returns a channel that is
	// closed when that was done or has failed. It is called from the device's
	// own goroutines, so it must not configure the device itself. Nil means
	// that every peer is always there.
	Activate func(*Peer) (done <-chan struct{})
	// OnReceived is called with how many packets of the tunnel were received,
	// before more are, and may make that wait. OnSent is called with how many
	// were sent. Nil means nobody counts.
	OnReceived, OnSent func(n int)
	// Yields leaves it to peers to keep a path that nothing goes by, as long as they do:
	// one end is enough, and if that has many peers, it has them together.
	Yields bool
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
	// discoPub is its public half: to compute that costs more than all else of a ping.
	discoPub key.DiscoPublic
	epoch    time.Time // origin of the nanoseconds in Peer
	seed     maphash.Seed

	home    atomic.Uint32 // own home region; 0 none
	homes   homes
	addrs   atomic.Uint64 // how often byAddr or byLeg has changed; changed under mu
	socks   atomic.Pointer[sockets]
	offload offload
	inbox   chan inbound
	frames  sync.Pool // of *frame
	wraps   sync.Pool // of *wrapping
	agenda  *agenda
	// portTurn is held by the one round of port guessing under way.
	portTurn chan struct{}
	probe    *prober
	mapper   *portMapper // nil when not to be asked

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // engine, prober, watcher, links

	// mu guards what follows. Nothing but the agenda is locked under it.
	mu      sync.RWMutex
	byKey   map[key.NodePublic]*Peer
	byDisco map[key.DiscoPublic]*Peer
	byAddr  map[netip.AddrPort]*Peer // proven by a disco frame
	byLeg   map[way]*Peer            // sessions of UDP relays
	links   map[uint32]*runningLink
	relays  map[uint32]Region
}

// sockets are the UDP sockets of one Open; nil where a family is missing.
type sockets struct {
	v4, v6 *socket
	closed chan struct{}
}

// inbound is a tunnel packet that came over a relay or a port of its own.
type inbound struct {
	peer  *Peer
	frame *frame
}

// runningLink is a link and what ends it.
type runningLink struct {
	*link
	stop context.CancelFunc
	done chan struct{}
}

var _ conn.Bind = (*Bind)(nil)

// New makes a Bind and starts its goroutines; Shutdown ends them.
func New(cfg Config) (*Bind, error) {
	if cfg.OnSelf == nil {
		cfg.OnSelf = func(Self) {}
	}
	if cfg.OnReceived == nil {
		cfg.OnReceived = func(int) {}
	}
	if cfg.OnSent == nil {
		cfg.OnSent = func(int) {}
	}
	if cfg.OnNetworkChange == nil {
		cfg.OnNetworkChange = func() {}
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
		epoch:  time.Now().Add(-time.Nanosecond),
		seed:   maphash.MakeSeed(),
		inbox:  make(chan inbound, inboxSize),
		frames: sync.Pool{New: func() any { return &frame{data: make([]byte, 0, 2048)} }},
		homes:  homes{own: parseWishes(cfg.RelayRegion), down: make(map[uint32]bool)},
		wraps:  sync.Pool{New: func() any { return new(wrapping) }},
		agenda: newAgenda(), portTurn: make(chan struct{}, 1),
		byKey:   make(map[key.NodePublic]*Peer),
		byDisco: make(map[key.DiscoPublic]*Peer),
		byAddr:  make(map[netip.AddrPort]*Peer),
		byLeg:   make(map[way]*Peer),
		links:   make(map[uint32]*runningLink),
		relays:  make(map[uint32]Region),
	}
	b.discoPub = b.disco.Public()
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.setUpOffload()
	b.probe = newProber(b)
	if !cfg.NoPortMapping && !cfg.RelayOnly {
		b.mapper = newPortMapper(b.log, b.localPort4, b.probe.portMapped)
		go b.mapper.run(b.ctx) // Shutdown waits, but not for ever
	}
	events, err := openNetworkEvents()
	if err != nil {
		b.log.Info("changes of the network are noticed late", "err", err)
	}
	b.wg.Go(b.runEngine)
	b.wg.Go(func() { b.probe.run(b.ctx) })
	b.wg.Go(func() {
		watchNetwork(b.ctx, events, cfg.Exclude, func(why string) {
			b.log.Debug("network changed", "what", why)
			b.probe.networkChanged()
		})
	})
	return b, nil
}

// DiscoKey returns the public disco key, new with each Bind.
func (b *Bind) DiscoKey() [32]byte {
	return [32]byte(b.discoPub.AppendTo(nil))
}

// Shutdown ends everything that New and SetRelays started and waits for it.
// The device must be closed before.
func (b *Bind) Shutdown() error {
	b.cancel()
	err := b.Close()
	for _, p := range b.peers() {
		p.closePorts()
	}
	b.wg.Wait()
	if b.mapper != nil {
		b.mapper.wait()
	}
	return err
}

// localPort4 is the port of the IPv4 socket; 0 while there is none.
func (b *Bind) localPort4() uint16 {
	if s := b.socks.Load(); s != nil && s.v4 != nil {
		return s.v4.port()
	}
	return 0
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
	if b.cfg.RelayOnly {
		b.socks.Store(s)
		b.probe.poke()
		return []conn.ReceiveFunc{b.inboxReceiver(s)}, port, nil
	}
	joins := !b.offload.off.Load()
	var fns []conn.ReceiveFunc
	var err4, err6 error
	if s.v4, err4 = listen("udp4", port, joins); err4 == nil {
		port = s.v4.port()
		fns = append(fns, b.receiver(s.v4, s.closed))
	}
	if s.v6, err6 = listen("udp6", port, joins); err6 != nil {
		// The port may be free for one family only.
		s.v6, err6 = listen("udp6", 0, joins)
	}
	if err6 == nil {
		fns = append(fns, b.receiver(s.v6, s.closed))
	}
	if err4 != nil || err6 != nil {
		b.log.Debug("no UDP socket for one address family", "udp4", err4, "udp6", err6)
	}
	fns = append(fns, b.inboxReceiver(s))
	b.socks.Store(s)
	b.probe.poke()
	if b.mapper != nil {
		signal(b.mapper.again)
	}
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
	b.cfg.OnSent(len(bufs))
	if isHandshake(bufs[0]) {
		if again := p.handshakes.send(bufs[0], time.Now()); !again.IsZero() {
			b.agenda.add(p, again)
		}
	}
	b.send(bufs, p)
	return nil
}

// send sends bufs to p, which need not be the device's own.
func (b *Bind) send(bufs [][]byte, p *Peer) {
	r := p.route.Load()
	silent := false
	if len(bufs) > 1 || len(bufs[0]) > keepaliveLen {
		now := b.now()
		silent = p.noteSend(now, r)
		p.unheard.sent(now, r.rtt, bufs)
	}
	relay := r.relay
	switch {
	case isHandshake(bufs[0]):
		relay = relayAll // rare and dear to lose; the peer drops the copy
	case silent && relay == relayLast:
		relay = relaySmall
	}
	if r.direct.valid() && !b.sendDirect(p, r, bufs) {
		relay = relayAll
	}
	if relay == relaySmall && r.also.valid() {
		for _, buf := range bufs {
			if len(buf) <= smallPacket {
				b.writeCopy(buf, r.also, r.alsoPort)
			}
		}
	}
	b.sendRelayed(p, relay, r.limit, bufs)
	if r.listens {
		b.wakePeer(p) // only now: what it costs delays no packet
	}
}

// sendDirect sends what fits the route's direct way. It reports false when that
// failed.
func (b *Bind) sendDirect(p *Peer, r *liveRoute, bufs [][]byte) bool {
	var sent counters
	for len(bufs) > 0 {
		n := 0 // how many in a row fit
		for n < len(bufs) && len(bufs[n]) <= r.limit {
			if len(bufs[n]) > largePacket {
				sent.large++
			}
			n++
		}
		if n > 0 {
			if err := b.writeUDP(bufs[:n], r.direct, r.directPort); err != nil {
				return false
			}
			sent.packets += uint32(n)
			bufs = bufs[n:]
			continue
		}
		bufs = bufs[1:]
	}
	p.sent.add(sent)
	return true
}

// sendRelayed sends over the relay what is to go there.
func (b *Bind) sendRelayed(p *Peer, use relayUse, limit int, bufs [][]byte) {
	var l *link
	for _, buf := range bufs {
		if use == relayAll || use == relaySmall && len(buf) <= smallPacket || len(buf) > limit {
			if l == nil {
				if l = b.link(p.relayRegion()); l == nil {
					return
				}
			}
			l.send(p.key, buf)
		}
	}
}

// writeUDP sends bufs by w, from extra if that is not nil.
func (b *Bind) writeUDP(bufs [][]byte, w way, extra *port) error {
	if w.sock != 0 {
		if extra == nil {
			return net.ErrClosed
		}
		return extra.writeBatch(bufs, w.addr)
	}
	s := b.socketFor(w.addr.Addr())
	if s == nil {
		return net.ErrClosed
	}
	if w.relayed() {
		wrapped := b.wraps.Get().(*wrapping)
		defer b.wraps.Put(wrapped)
		bufs = wrapped.wrap(w.vni, bufs)
	}
	return s.writeBatch(bufs, w.addr)
}

// writeCopy sends a packet by one more way, where it may as well be lost.
func (b *Bind) writeCopy(buf []byte, w way, extra *port) {
	if extra != nil {
		_ = extra.write(buf, w.addr)
	} else if w.relayed() {
		_ = b.writeUDP([][]byte{buf}, w, nil)
	} else if s := b.socketFor(w.addr.Addr()); s != nil && w.sock == 0 {
		_ = s.write(buf, w.addr)
	}
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

func newTxID() (tx txID) {
	rand.Read(tx[:])
	return tx
}
