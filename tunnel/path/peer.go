package path

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/types/key"
)

// NAT says what a node's network does to its UDP packets.
type NAT uint8

const (
	NATUnknown NAT = iota
	// NATEasy maps an address the same way towards every destination, or
	// does not map at all.
	NATEasy
	// NATHard maps differently towards each destination.
	NATHard
	// NATBlocked lets no UDP out, or no answer in.
	NATBlocked
)

func (n NAT) String() string {
	return [...]string{"unknown", "easy", "hard", "udp-blocked"}[n]
}

// PeerInfo is what the coordinator tells about a peer.
type PeerInfo struct {
	PublicKey [32]byte // WireGuard
	DiscoKey  [32]byte
	Endpoints []netip.AddrPort
	// HomeRelay is the region the peer listens on; zero means not known, and
	// this node's own home is tried.
	HomeRelay uint32
	NAT       NAT
	// RelayOnly says that the peer was told to use relays alone.
	RelayOnly bool
}

// Peer is the far end of a tunnel, whatever path leads there. It implements
// conn.Endpoint, and stays the same for as long as the peer keeps its key.
type Peer struct {
	bind   *Bind
	key    key.NodePublic
	disco  key.DiscoPublic
	shared key.DiscoShared

	// Read by the data path without a lock. Times are nanoseconds since
	// bind.epoch, 0 for never.
	route          atomic.Pointer[liveRoute]
	home           atomic.Uint32
	lastSend       atomic.Int64
	lastRecv       atomic.Int64
	lastRecvDirect atomic.Int64 // by the way in use
	proven         atomic.Bool  // a packet of the tunnel has come directly
	// unanswered is when the first packet went by the way in use that nothing has
	// followed from there.
	unanswered atomic.Int64
	// inDevice says that the device knows the peer.
	inDevice atomic.Bool
	// handshakes are those that came.
	handshakes handshakes
	// unheard is what nothing has come back for.
	unheard unheard
	// heard is closed with the first message of the peer itself.
	heard     chan struct{}
	heardOnce sync.Once
	// sent and received count the tunnel's packets over UDP.
	sent, received atomicCounters
	// opened counts those that WireGuard opened, and mangled the large ones that
	// came from the peer's address and are nothing we know.
	opened  atomicCounters
	mangled atomic.Uint32
	// garbled says that most large packets of late did not open.
	garbled atomic.Bool

	date date // the agenda's

	// mu guards what follows. It is never held together with Bind.mu, and no
	// I/O is done under it.
	mu      sync.Mutex
	machine *machine
	nat     NAT
	relayed bool // the peer uses relays alone
	ports   portSet
	legs    map[way]*leg // by UDP relays
	// integrity is what came compared with what opened.
	integrity integrity
}

// liveRoute is a route with the mode it comes of and the sockets it names.
type liveRoute struct {
	route
	mode                 mode
	directPort, alsoPort *port // nil for the shared sockets
}

// atomicCounters are counters that the data path adds to and others read.
type atomicCounters struct{ packets, large atomic.Uint32 }

func (c *atomicCounters) load() counters { return counters{c.packets.Load(), c.large.Load()} }

func (c *atomicCounters) add(d counters) {
	c.packets.Add(d.packets)
	if d.large > 0 {
		c.large.Add(d.large)
	}
}

var _ conn.Endpoint = (*Peer)(nil)

// EndpointString is what to give the device as this peer's endpoint.
func (p *Peer) EndpointString() string { return hexNode(p.key) }

// ClearSrc does nothing: the kernel chooses the source address.
func (p *Peer) ClearSrc() {}

// SrcToString returns "": the kernel chooses the source address.
func (p *Peer) SrcToString() string { return "" }

// DstToString returns the peer's key, which names it on every path.
func (p *Peer) DstToString() string { return p.EndpointString() }

// DstToBytes returns what a WireGuard cookie is bound to: the address that
// packets come from would change with the path, so the key stands for it.
func (p *Peer) DstToBytes() []byte {
	return rawNode(p.key)
}

// DstIP returns the zero address; it serves WireGuard's rate limiter only.
func (p *Peer) DstIP() netip.Addr { return netip.Addr{} }

// SrcIP returns the zero address: the kernel chooses it.
func (p *Peer) SrcIP() netip.Addr { return netip.Addr{} }

// InDevice reports what SetInDevice was last told.
func (p *Peer) InDevice() bool { return p.inDevice.Load() }

// SetInDevice tells whether the device knows the peer. While it does not,
// packets ask for it by Config.Activate.
func (p *Peer) SetInDevice(in bool) { p.inDevice.Store(in) }

// EnsureInDevice has the peer put into the device if it is not there, and waits
// for that or for until to be closed.
func (p *Peer) EnsureInDevice(until <-chan struct{}) {
	if p.inDevice.Load() || p.bind.cfg.Activate == nil {
		return
	}
	select {
	case <-p.bind.cfg.Activate(p):
	case <-until:
	}
}

// Heard returns a channel that is closed as soon as the peer itself has said
// something: it knows this node then, and waits for its handshake.
func (p *Peer) Heard() <-chan struct{} { return p.heard }

// LastActive returns when a packet last went to or came from the peer; the zero
// time is never.
func (p *Peer) LastActive() time.Time {
	return p.bind.timeOf(max(p.lastSend.Load(), p.lastRecv.Load()))
}

// noteSend records that packets leave for the peer now. It reports whether
// those before them have gone unanswered for so long that small ones should
// take every way.
func (p *Peer) noteSend(now int64, r *liveRoute) (silent bool) {
	p.lastSend.Store(now)
	if r.guard == 0 {
		return false
	}
	since := p.unanswered.Load()
	if since == 0 {
		p.unanswered.CompareAndSwap(0, now)
		return false
	}
	return now-since >= int64(r.guard)
}

// noteRecv records that packets of the tunnel came by a way over UDP; by none over
// DERP. Unless one of them carried something, that keeps no peer active. Only what comes
// by the way in use shows that it works. The peer's packets that come by another, though
// that way was the peer's, too, when there last was any, show that the peer has doubts:
// small packets then take every way at once.
func (p *Peer) noteRecv(now int64, from way, carried bool) {
	if carried {
		p.lastRecv.Store(now)
	}
	r := p.route.Load()
	if p.unheard.heard(now, r.rtt) {
		p.bind.repeat(p)
	}
	if from.valid() && from.addr == r.direct.addr && from.vni == r.direct.vni {
		p.lastRecvDirect.Store(now)
		if !from.relayed() && !p.proven.Load() {
			p.proven.Store(true)
		}
		p.noteAnswer()
		return
	}
	if ago := now - p.lastRecvDirect.Load(); r.guard > 0 && ago >= int64(copyWithin) && ago < int64(idleAfter) {
		p.unanswered.Store(max(1, now-int64(r.guard)))
		if r.listens {
			p.bind.wakePeer(p)
		}
	}
}

// noteAnswer records that something came by the way in use.
func (p *Peer) noteAnswer() {
	if p.unanswered.Load() != 0 {
		p.unanswered.Store(0)
	}
}

// traffic returns what the data path saw of the peer.
func (p *Peer) traffic() traffic {
	b := p.bind
	return traffic{
		sent:       b.timeOf(p.lastSend.Load()),
		received:   b.timeOf(p.lastRecv.Load()),
		unanswered: b.timeOf(p.unanswered.Load()),
		out:        p.sent.load(),
	}
}

// Sizes of packets inside the tunnel, in bytes.
const (
	// wgOverhead is what WireGuard's transport message adds: a header of 16
	// bytes and a tag of 16. Packets are padded to multiples of wgPadding.
	wgOverhead = 32
	wgPadding  = 16

	// relayMTU is for packets that take a relay: small enough that the same
	// packet fits any direct path that may take over.
	relayMTU = 1280
)

// MTU is the size in bytes of the largest packet inside the tunnel that the
// present path carries. It may be less than IPv6's minimum of 1280, where the
// caller has to fragment.
func (p *Peer) MTU() int {
	r := p.route.Load()
	if r.relay == relayAll || r.limit <= smallPacket {
		return relayMTU // what direct cannot take yet goes over the relay
	}
	return (r.limit - wgOverhead) / wgPadding * wgPadding
}

// RTT is the round trip of the path over UDP that packets take; zero while they take
// DERP, or it is not known.
func (p *Peer) RTT() time.Duration { return p.route.Load().rtt }

// Path is how packets to a peer travel at present.
type Path struct {
	// Direct is the peer's UDP address; invalid while relayed.
	Direct netip.AddrPort
	// UDPRelay is the address of the relay that carries packets over UDP; invalid
	// while none does.
	UDPRelay netip.AddrPort
	// Region is the relay's while packets are relayed, else zero.
	Region uint32
	// RTT of the path over UDP; zero when not known.
	RTT time.Duration
	// Tried is how many addresses of the peer were pinged, and Answered how
	// many of them ever answered.
	Tried, Answered int
	// Since is when probing began.
	Since time.Time
	// NAT is the peer's, as it reports it.
	NAT NAT
	// IPv4 and IPv6 say of which kinds the peer names addresses.
	IPv4, IPv6 bool
	// RelayOnly says that this node or the peer was told to use relays alone.
	RelayOnly bool
	// Narrow is set when an address answers but does not carry packets of the
	// size that a tunnel needs.
	Narrow bool
	// Swallowed is set when an address answers pings, while packets of the
	// tunnel sent to it vanish.
	Swallowed bool
	// Proven says that a packet of the tunnel has come directly.
	Proven bool
	// HardRounds is how often ports were guessed through a hard NAT.
	HardRounds int
}

// Path returns the present path. While a direct path is in doubt it is still
// the one reported.
func (p *Peer) Path() Path {
	region := p.relayRegion()
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.machine
	path := Path{Since: m.created, NAT: p.nat, HardRounds: m.birthday.rounds, RelayOnly: p.relayed || p.bind.cfg.RelayOnly, Proven: p.proven.Load()}
	now := time.Now()
	for _, c := range m.candidates {
		if c.relayed() {
			continue
		}
		path.Tried++
		if !c.answered.IsZero() {
			path.Answered++
		}
		if c.told {
			path.IPv4, path.IPv6 = path.IPv4 || c.addr.Addr().Is4(), path.IPv6 || c.addr.Addr().Is6()
		}
		path.Narrow = path.Narrow || c.mtu.narrow()
		path.Swallowed = path.Swallowed || now.Before(c.shunUntil)
	}
	if m.mode == modeRelay {
		path.Region = region
		return path
	}
	path.RTT = m.candidates[m.best].rtt
	if l := p.legs[m.best]; l != nil {
		path.UDPRelay, path.Region = m.best.addr, l.region
	} else {
		path.Direct = m.best.addr
	}
	return path
}

// relayRegion is where the peer is reached by relay.
func (p *Peer) relayRegion() uint32 {
	if r := p.home.Load(); r != 0 {
		return r
	}
	return p.bind.home.Load()
}
