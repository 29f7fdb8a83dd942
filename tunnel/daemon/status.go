package daemon

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/aditmesh/adit/tunnel"
)

// States of a daemon.
const (
	StateJoining = "joining" // the coordinator has not let it in yet
	StateUp      = "up"
)

// Status is what a daemon tells of itself.
type Status struct {
	State     string         `json:"state"`
	PID       int            `json:"pid"`
	Version   string         `json:"version"`
	URL       string         `json:"url"`
	User      string         `json:"user"`
	Session   string         `json:"session"`   // see SessionOf
	Interface string         `json:"interface"` // empty without one
	Proxy     string         `json:"proxy,omitempty"`
	Suffix    string         `json:"suffix"`
	Self      tunnel.Self    `json:"self"`
	Peers     []Peer         `json:"peers"`
	Relays    []tunnel.Relay `json:"relays"`
}

// Peer is an agent that may be reached.
type Peer struct {
	Name      string       `json:"name"`
	Addresses []netip.Addr `json:"addresses"`
	// State is the agent's, as the coordinator has it.
	State         string          `json:"state"`
	Path          tunnel.Path     `json:"path"`
	RTTMs         float64         `json:"rtt_ms"`
	LastHandshake *time.Time      `json:"last_handshake"`
	RxBytes       uint64          `json:"rx_bytes"`
	TxBytes       uint64          `json:"tx_bytes"`
	Verdict       *tunnel.Verdict `json:"verdict"`
}

// Describe fills in what a node knows of a peer.
func (p *Peer) Describe(known tunnel.Peer) {
	p.Path, p.Verdict = known.Path, known.Verdict
	p.RTTMs = float64(known.RTT.Microseconds()) / 1000
	p.RxBytes, p.TxBytes = known.RxBytes, known.TxBytes
	if !known.LastHandshake.IsZero() {
		p.LastHandshake = &known.LastHandshake
	}
}

// describe tells of a peer; one without a tunnel has no path, and nothing is wrong.
func describe(h *reach, known map[string]tunnel.Peer, open bool) Peer {
	p := Peer{Name: h.Name(), Addresses: []netip.Addr{h.Addr}, State: h.state, Path: tunnel.Path{Kind: "none"}}
	if h.Addr4.IsValid() {
		p.Addresses = append(p.Addresses, h.Addr4)
	}
	if n, ok := known[h.ID]; ok && open {
		p.Describe(n)
	}
	return p
}

func sortPeers(list []Peer) {
	slices.SortFunc(list, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
}
