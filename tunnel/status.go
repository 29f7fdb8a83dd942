package tunnel

import (
	"cmp"
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/tunnel/path"
)

// Peer is what a node knows about a peer right now.
type Peer struct {
	ID, Name  string
	Addresses []netip.Addr
	// State is "here", or "lost" while the peer has no control session.
	State string
	Path  Path
	// Proven says that a packet of the tunnel has come directly, not only the
	// answer to a ping.
	Proven bool
	// RTT of a direct path; zero when not known.
	RTT              time.Duration
	LastHandshake    time.Time
	RxBytes, TxBytes uint64
	// Verdict says why the path is not direct, or what the peer has denied of late; nil
	// when all is well.
	Verdict *Verdict
}

// Path is how packets to a peer travel.
type Path struct {
	// Kind is "direct", "udp-relay", "derp", "derp-ws" for DERP in a WebSocket, or
	// "none".
	Kind string `json:"kind"`
	// Addr is the peer's UDP address, that of the relay, or the relay's URL.
	Addr string `json:"addr,omitempty"`
	// Region is the relay's code.
	Region string `json:"region,omitempty"`
	// MTU is the size in bytes of the largest packet inside the tunnel that
	// the path carries whole.
	MTU int `json:"mtu"`
}

// Self is what a node knows about itself.
type Self struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Address   netip.Addr `json:"address"`
	Endpoints []string   `json:"endpoints"`
	HomeRelay string     `json:"home_relay"`
	NAT       string     `json:"nat"`
}

// Relay is one relay region as seen from here.
type Relay struct {
	Region string  `json:"region"`
	Name   string  `json:"name"`
	URL    string  `json:"url"`
	RTTMs  float64 `json:"rtt_ms,omitempty"`
	Home   bool    `json:"home"`
	// Error says why it is not connected, if it is to be.
	Error string `json:"error,omitempty"`
}

// errNoRelay is why no relay is connected where none is known.
var errNoRelay = errors.New("the coordinator names no relay")

// Peers returns all peers, by name.
func (n *Node) Peers() []Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	stats := n.deviceStats()
	peers := make([]Peer, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, n.describeLocked(p, stats))
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return peers
}

// Peer returns the peer with the given node id.
func (n *Node) Peer(id string) (Peer, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[id]
	if p == nil {
		return Peer{}, false
	}
	return n.describeLocked(p, n.deviceStats()), true
}

func (n *Node) describeLocked(p *peer, stats map[[32]byte]deviceStats) Peer {
	s := stats[p.key]
	d := Peer{
		ID: p.id, Name: p.name, Addresses: slices.Clone(p.addrs), State: string(p.state),
		LastHandshake: s.lastHandshake, RxBytes: s.rx, TxBytes: s.tx,
		Path: Path{Kind: "none"},
	}
	f := &facts{self: *n.self.Load(), online: p.state == peerHere, guessing: !n.cfg.Path.NoPortGuessing, now: time.Now()}
	if p.path != nil {
		f.at = p.path.Path()
		relay := n.bind.RelayConnection(f.at.Region)
		f.relayErr = relay.Err
		if !f.at.Direct.IsValid() && f.settled() {
			f.vpn = p.path.Detour()
			if f.at.Region == 0 {
				f.relayErr = errNoRelay
			}
		}
		d.Path, d.RTT = n.pathOf(f.at, relay, f.relayErr), f.at.RTT
		d.Path.MTU, d.Proven = p.path.MTU(), f.at.Proven
	}
	d.Verdict = judge(f)
	for _, a := range p.addrs {
		if v := n.filter.denied.verdict(a, f.now); v != nil {
			d.Verdict = v
		}
	}
	return d
}

func (n *Node) pathOf(at path.Path, relay path.RelayConnection, relayErr error) Path {
	if at.Direct.IsValid() {
		return Path{Kind: "direct", Addr: at.Direct.String()}
	}
	region, ok := n.bind.Region(at.Region)
	if (!ok || relayErr != nil) && !at.UDPRelay.IsValid() {
		return Path{Kind: "none"}
	}
	if at.UDPRelay.IsValid() {
		return Path{Kind: "udp-relay", Addr: at.UDPRelay.String(), Region: region.Code}
	}
	kind := "derp"
	if relay.WebSocket {
		kind = "derp-ws"
	}
	return Path{Kind: kind, Addr: relay.URL, Region: region.Code}
}

// verdictReports is what the coordinator gets to know of each peer's path that it
// was not told yet; if counts, also of those whose bytes alone are others.
func (n *Node) verdictReports(said map[string]verdictKey, counts bool) []*meshv1.Verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	stats := sync.OnceValue(n.deviceStats) // which asks the device for all of them
	var reports []*meshv1.Verdict
	for _, p := range n.peers {
		d := n.describeLocked(p, nil)
		v := d.Verdict
		if v == nil {
			v = &Verdict{}
		}
		key := verdictKey{path: d.Path.Kind, region: d.Path.Region, reason: v.Code, mtu: uint32(d.Path.MTU), rttUs: uint32(min(d.RTT.Microseconds(), math.MaxUint32))}
		before, told := said[d.ID]
		same := told && before.same(key)
		if same && !counts {
			continue
		}
		s := stats()[p.key]
		key.bytes = s.rx + s.tx
		if same && key.bytes-before.bytes < anyBytes && key.bytes >= before.bytes {
			continue
		}
		said[d.ID] = key
		reports = append(reports, &meshv1.Verdict{
			Peer: d.ID, Path: key.path, Region: key.region, RttUs: key.rttUs, Mtu: key.mtu,
			Reason: v.Code, Evidence: v.Evidence, Fix: v.Fix, RxBytes: s.rx, TxBytes: s.tx,
		})
	}
	return reports
}

// Self returns what the node knows about itself.
func (n *Node) Self() Self {
	self := n.self.Load()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Self{ID: n.id, Name: n.name, Address: n.addr, NAT: self.NAT.String(), Endpoints: []string{}}
	for _, e := range self.Endpoints {
		s.Endpoints = append(s.Endpoints, e.String())
	}
	if r, ok := n.bind.Region(self.HomeRelay); ok {
		s.HomeRelay = r.Code
	}
	return s
}

// Relays returns the relay map as seen from here.
func (n *Node) Relays() []Relay {
	self := n.self.Load()
	relays := []Relay{}
	for _, r := range n.bind.Regions() {
		at := n.bind.RelayConnection(r.ID)
		relay := Relay{
			Region: r.Code, Name: r.Name, URL: at.URL,
			RTTMs: float64(self.Latencies[r.ID]) / 1000, Home: r.ID == self.HomeRelay,
		}
		if at.Err != nil {
			relay.Error = at.Err.Error()
		}
		relays = append(relays, relay)
	}
	return relays
}
