package tunnel

import (
	"context"
	"fmt"
	"time"

	"github.com/aditmesh/adit/tunnel/path"
)

// Network is what a node has found out about the network it is on.
type Network struct {
	// UDP says by which families of addresses a relay answered over UDP.
	UDP UDPReach `json:"udp"`
	// NAT is "unknown", "easy", "hard" or "udp-blocked": unknown, too, where there is no
	// relay that could tell.
	NAT string `json:"nat"`
	// MappingVaries says that each destination sees another address of this
	// node; nil while that is not known.
	MappingVaries *bool `json:"mapping_varies"`
	// PortMapping is what the router does when asked; nil when it is not to be.
	PortMapping *PortMapping `json:"port_mapping"`
	HomeRelay   string       `json:"home_relay"`
	// HomeWhy says why that is the home, in a few words.
	HomeWhy string  `json:"home_why,omitempty"`
	Relays  []Relay `json:"relays"`
	// NoRelay says why no relay can be reached, in one line, and what that means; empty
	// when one can.
	NoRelay   string   `json:"no_relay,omitempty"`
	Endpoints []string `json:"endpoints"`
}

// UDPReach tells whether UDP gets out, and the answer back in.
type UDPReach struct {
	IPv4 bool `json:"ipv4"`
	IPv6 bool `json:"ipv6"`
}

// PortMapping is how the router can be asked for a port, and the one it gave.
type PortMapping struct {
	UPnP     bool   `json:"upnp"`
	NATPMP   bool   `json:"nat_pmp"`
	PCP      bool   `json:"pcp"`
	External string `json:"external,omitempty"`
}

// relayLook is how often it is looked whether the home relay has answered: it makes
// no noise when it does.
const relayLook = 20 * time.Millisecond

// Network waits until the network has been looked at once and the home relay has
// answered or failed, or ctx is done, and returns what is known by then. One goroutine
// at a time may call it.
func (n *Node) Network(ctx context.Context) Network {
	look := time.NewTicker(relayLook)
	defer look.Stop()
	for !n.networkKnown() || !n.homeKnown() {
		select {
		case <-n.selfNews:
		case <-look.C:
		case <-n.done:
			return n.network()
		case <-ctx.Done():
			return n.network()
		}
	}
	return n.network()
}

// homeKnown reports whether the home relay has answered or failed; there may be none.
func (n *Node) homeKnown() bool {
	home := n.self.Load().HomeRelay
	at := n.bind.RelayConnection(home)
	return home == 0 || at.Connected || at.Err != nil
}

// networkKnown reports whether there is nothing more to wait for.
func (n *Node) networkKnown() bool {
	s := n.self.Load()
	m := s.PortMapping
	asked := m.Asked && (m.External.IsValid() || !m.UPnP && !m.NATPMP && !m.PCP)
	return s.Complete && (asked || n.mapsNoPort())
}

// mapsNoPort reports whether the router is not asked for a port.
func (n *Node) mapsNoPort() bool { return n.cfg.Path.NoPortMapping || n.cfg.Path.RelayOnly }

func (n *Node) network() Network {
	s := n.self.Load()
	self := n.Self()
	net := Network{
		UDP: UDPReach{IPv4: s.UDP4, IPv6: s.UDP6}, NAT: self.NAT,
		HomeRelay: self.HomeRelay, Relays: n.Relays(), Endpoints: self.Endpoints,
	}
	if at := n.bind.RelayConnection(s.HomeRelay); !at.Connected {
		net.NoRelay = noRelay(net.Relays)
		if s.NAT == path.NATBlocked {
			net.NAT = path.NATUnknown.String()
		}
	}
	net.HomeWhy = whyHome(net.HomeRelay, net.Relays, n.bind.Pinned(net.HomeRelay))
	if s.NAT == path.NATEasy || s.NAT == path.NATHard {
		varies := s.NAT == path.NATHard
		net.MappingVaries = &varies
	}
	if !n.mapsNoPort() {
		m := s.PortMapping
		net.PortMapping = &PortMapping{UPnP: m.UPnP, NATPMP: m.NATPMP, PCP: m.PCP}
		if m.External.IsValid() {
			net.PortMapping.External = m.External.String()
		}
	}
	return net
}

// noRelay says that none can be reached of the regions that there are, and what to do.
func noRelay(relays []Relay) string {
	const means = "peers without a direct path are out of reach"
	if len(relays) == 0 {
		return "the coordinator names no relay: " + means + "; see 'adit relays list'"
	}
	why := "no answer"
	for _, r := range relays {
		if r.Error != "" && (r.Home || why == "no answer") {
			why = r.Error
		}
	}
	return fmt.Sprintf("no relay can be reached in any region, of %d: %s; let TCP to one out of this network (%s)", len(relays), means, why)
}

// whyHome says why a region is home, of those that there are; pinned is by whom it is
// wished, if it is.
func whyHome(home string, relays []Relay, pinned string) string {
	rtt, others := make(map[string]float64), 0
	for _, r := range relays {
		if _, known := rtt[r.Region]; !known && r.Region != home {
			others++
		}
		rtt[r.Region] = r.RTTMs
	}
	nearer, answer := false, false
	for region, ms := range rtt {
		if region != home && ms > 0 {
			answer, nearer = true, nearer || ms < rtt[home]
		}
	}
	switch _, known := rtt[home]; {
	case !known:
		return ""
	case pinned != "":
		return pinned
	case others == 0:
		return "the only region"
	case rtt[home] == 0:
		return "no region's latency is known"
	case !answer:
		return "the only region that answers"
	case nearer:
		return "nearest when it was chosen, and none is nearer by a third or may be home"
	}
	return "nearest"
}
