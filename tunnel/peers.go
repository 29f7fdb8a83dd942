package tunnel

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/tunnel/path"
)

// lostFor is how long a peer whose control session broke is kept after its
// last handshake: long enough for a coordinator's upgrade or a night train's
// tunnel, and by then WireGuard's own session has long expired.
const lostFor = 15 * time.Minute

// peer is one entry of the peer table, guarded by Node.mu.
//
//	(unknown) ──HERE──▶ here ──LOST, own session broken──▶ lost
//	                     ▲ │                                │ │
//	                     │ └───────────GONE──▶ (removed) ◀──┘ │
//	                     └──────────────HERE──────────────────┘
//
// A lost peer keeps its tunnel; it is removed lostFor after its last
// handshake.
type peer struct {
	id, name string
	state    peerState
	key      [32]byte
	addrs    []netip.Addr
	path     *path.Peer // nil while its keys are not known
	// ready says that the far end has programmed our present key.
	ready bool
	// since is when the peer came into its state.
	since time.Time
}

type peerState string

const (
	peerHere peerState = "here"
	peerLost peerState = "lost"
)

// applyPeer brings the table and the device to what the coordinator says.
func (n *Node) applyPeer(m *meshv1.Peer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.changedLocked()
	if m.GetState() == meshv1.Peer_GONE {
		n.peerGoneLocked(m.GetId())
		delete(n.policies, m.GetId())
		return nil
	}
	info, addrs, err := parsePeer(m)
	if err != nil {
		return fmt.Errorf("tunnel: peer %q from the coordinator: %w", m.GetId(), err)
	}
	p := n.peers[m.GetId()]
	if p != nil && p.path != nil && info.PublicKey == ([32]byte{}) {
		// A coordinator that was restarted has not seen the peer yet. The tunnel
		// is none the worse for that.
		p.ready = m.GetReady()
		p.moveTo(stateOf(m.GetState()), time.Now())
		return nil
	}
	if p != nil && (p.key != info.PublicKey || !slices.Equal(p.addrs, addrs)) {
		n.peerGoneLocked(p.id)
		p = nil
	}
	if p == nil {
		p = &peer{id: m.GetId(), key: info.PublicKey, addrs: addrs}
		n.peers[p.id] = p
	}
	p.name, p.ready = m.GetName(), m.GetReady()
	p.moveTo(stateOf(m.GetState()), time.Now())
	if info.PublicKey == ([32]byte{}) {
		return nil // an agent that never connected: nothing to program yet
	}
	if at := n.bind.SetPeer(info); at != p.path {
		old := p.path
		p.path = at
		if old != nil && old.InDevice() {
			if err := n.programPeer(p); err != nil {
				return err
			}
		}
	}
	n.updateLayersLocked(p, true)
	if n.wants[p.id] && !p.path.InDevice() {
		// What is wanted will be spoken to at once: the device gets to know it while
		// the far end does, and not when the first packet waits.
		return n.programPeer(p)
	}
	return nil
}

func stateOf(s meshv1.Peer_State) peerState {
	if s == meshv1.Peer_HERE {
		return peerHere
	}
	return peerLost
}

func (p *peer) moveTo(s peerState, now time.Time) {
	if p.state != s {
		p.state, p.since = s, now
	}
}

// parsePeer checks what the coordinator says of a peer. Even the coordinator
// does not give a peer an address outside the mesh.
func parsePeer(m *meshv1.Peer) (path.PeerInfo, []netip.Addr, error) {
	info := path.PeerInfo{HomeRelay: m.GetHomeRelay(), NAT: natFromProto(m.GetNat()), RelayOnly: slices.Contains(m.GetCapabilities(), relayOnly)}
	if k := m.GetPublicKey(); len(k) != 0 {
		if copy(info.PublicKey[:], k) != 32 || len(k) != 32 || copy(info.DiscoKey[:], m.GetDiscoKey()) != 32 {
			return info, nil, fmt.Errorf("keys of %d and %d bytes, want 32", len(k), len(m.GetDiscoKey()))
		}
	}
	var addrs []netip.Addr
	for _, s := range m.GetAddresses() {
		a, err := netip.ParseAddr(s)
		if err != nil || !meshaddr.Prefix.Contains(a) {
			return info, nil, fmt.Errorf("address %q is not in %v", s, meshaddr.Prefix)
		}
		addrs = append(addrs, a)
	}
	for _, s := range m.GetEndpoints() {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			info.Endpoints = append(info.Endpoints, ap)
		}
	}
	return info, addrs, nil
}

// peerGoneLocked removes a peer that has gone by itself. Connections with it would
// otherwise wait for its answers until TCP gives up, which takes minutes, and those
// that nothing is sent on for ever.
func (n *Node) peerGoneLocked(id string) {
	p := n.peers[id]
	if p != nil && n.stack != nil {
		n.stack.AbortTCP(p.addrs...)
	}
	if p != nil && n.cfg.PeerGone != nil {
		n.cfg.PeerGone(id)
	}
	n.removePeerLocked(id)
}

func (n *Node) removePeerLocked(id string) {
	p := n.peers[id]
	if p == nil {
		return
	}
	delete(n.peers, id)
	if p.path == nil {
		return
	}
	n.takeFromDevice(p)
	n.bind.RemovePeer(p.key)
	n.updateLayersLocked(p, false)
}

// updateLayersLocked brings what p's packets are looked at for in line with what
// is known of it; is says whether it is still a peer.
func (n *Node) updateLayersLocked(p *peer, is bool) {
	for _, a := range p.addrs {
		if is && p.path != nil {
			n.fit.setPath(a, p.path)
			n.filter.setAllowed(a, n.policies[p.id])
		} else {
			n.fit.setPath(a, nil)
			n.filter.setAllowed(a, nil)
		}
	}
}

// loseAll marks every peer lost: the control session broke, so nothing is
// known of them until it is back.
func (n *Node) loseAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		p.moveTo(peerLost, time.Now())
	}
	n.changedLocked()
}

// dropLost removes the peers that were lost for too long.
func (n *Node) dropLost(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var stats map[[32]byte]deviceStats
	for id, p := range n.peers {
		if p.state != peerLost || now.Sub(p.since) < lostFor {
			continue
		}
		if stats == nil {
			stats = n.deviceStats()
		}
		if now.Sub(stats[p.key].lastHandshake) >= lostFor {
			n.peerGoneLocked(id)
			delete(n.policies, id)
			n.changedLocked()
		}
	}
}

// deviceStats is what the WireGuard device counts for one peer.
type deviceStats struct {
	lastHandshake time.Time
	rx, tx        uint64
}

// deviceStats reads the device's counters by public key.
func (n *Node) deviceStats() map[[32]byte]deviceStats {
	conf, err := n.device.IpcGet()
	if err != nil {
		return nil // the device is closed
	}
	return parseDeviceStats(conf)
}

// parseDeviceStats reads the answer to a "get" of WireGuard's configuration
// protocol. Lines it does not know are skipped.
func parseDeviceStats(conf string) map[[32]byte]deviceStats {
	stats := make(map[[32]byte]deviceStats)
	var key [32]byte
	var s deviceStats
	known := false
	flush := func() {
		if known {
			stats[key] = s
		}
	}
	lines := bufio.NewScanner(strings.NewReader(conf))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		num, _ := strconv.ParseUint(value, 10, 63)
		switch name {
		case "public_key":
			flush()
			raw, err := hex.DecodeString(value)
			known = err == nil && len(raw) == len(key)
			copy(key[:], raw)
			s = deviceStats{}
		case "last_handshake_time_sec":
			if num > 0 {
				s.lastHandshake = time.Unix(int64(num), 0)
			}
		case "rx_bytes":
			s.rx = num
		case "tx_bytes":
			s.tx = num
		}
	}
	flush()
	return stats
}
