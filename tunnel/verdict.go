package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/aditmesh/adit/tunnel/path"
)

// Verdict says why a peer is not reached directly, on what evidence, and the
// one thing that would change it.
type Verdict struct {
	Code     string `json:"code"`
	Evidence string `json:"evidence"`
	Fix      string `json:"fix"`
}

// The codes of verdicts.
const (
	CodeConnecting   = "connecting"
	CodeRelayForced  = "relay-forced"
	CodeUDPBlocked   = "udp-blocked"
	CodeIPVersions   = "ip-versions"
	CodeMTU          = "mtu"
	CodeDataBlocked  = "data-blocked"
	CodeHardNATBoth  = "hard-nat-both"
	CodeHardNAT      = "hard-nat"
	CodeVPNInTheWay  = "vpn-in-the-way"
	CodePeerFirewall = "peer-firewall"
	CodeNoRelay      = "no-relay"
	CodePeerOffline  = "peer-offline"
	CodeDenied       = "denied"
)

// settleFor is how long a path may take before it counts as relayed for a
// reason: the longest burst of pings, and the time STUN takes to tell that
// UDP is blocked.
const settleFor = 4 * time.Second

// facts is what a verdict is judged by.
type facts struct {
	self     path.Self
	at       path.Path
	online   bool
	relayErr error // why the relay is not connected
	// vpn names the other tunnel that packets to the peer's addresses leave by,
	// looked for when the path has settled; empty if there is none.
	vpn      string
	guessing bool // ports may be guessed through a hard NAT
	now      time.Time
}

// judge returns why a peer is not direct, or nil when it is.
func judge(f *facts) *Verdict {
	if f.at.Direct.IsValid() {
		return nil
	}
	const (
		openUDP   = "let UDP out of this network, and answers to it back in"
		mapPorts  = "turn on UPnP, NAT-PMP or PCP, or endpoint-independent mapping, on one of the two routers"
		leaveWire = "have the firewalls between the two networks let WireGuard pass"
	)
	switch {
	case f.self.RelayOnly:
		return &Verdict{CodeRelayForced, "this node runs with --relay-only", "run it without"}
	case f.at.RelayOnly:
		return &Verdict{CodeRelayForced, "the peer's node runs with --relay-only", "run the peer's without"}
	case f.vpn != "":
		return &Verdict{
			CodeVPNInTheWay, fmt.Sprintf("packets to the peer's addresses leave by the tunnel %s, and none is answered", f.vpn),
			"exclude UDP to the peer's network from that VPN, or turn it off",
		}
	case f.relayErr != nil && !f.at.UDPRelay.IsValid():
		return &Verdict{CodeNoRelay, f.noRelay(), "let TCP out of this network to a relay's HTTPS port, or give the deployment a relay that it reaches; 'adit netcheck' tells of each"}
	case f.self.NAT == path.NATBlocked:
		return &Verdict{CodeUDPBlocked, fmt.Sprintf("none of %d STUN servers answered this node over UDP", f.self.STUNServers), openUDP}
	case f.at.NAT == path.NATBlocked:
		return &Verdict{
			CodeUDPBlocked, "the peer's node gets no answer over UDP from any STUN server",
			"let UDP out of the peer's network, and answers to it back in",
		}
	case !f.online:
		return &Verdict{CodePeerOffline, "the peer has no control session", "start the agent, or look at its log"}
	case f.apart():
		only := [2]string{"IPv6", "IPv4"}
		if f.at.IPv6 {
			only = [2]string{"IPv4", "IPv6"}
		}
		return &Verdict{
			CodeIPVersions, fmt.Sprintf("this node has only %s, the peer only %s", only[0], only[1]),
			"bring both IPv4 and IPv6 to one of the two networks",
		}
	case f.at.Narrow:
		return &Verdict{
			CodeMTU, "the peer answers directly, but packets of 1280 bytes, the least that a tunnel needs, do not arrive",
			"raise the MTU of the links between the two networks to 1280 bytes or more",
		}
	case f.at.Swallowed:
		return &Verdict{CodeDataBlocked, "the peer answers pings directly, but packets of the tunnel do not arrive", leaveWire}
	case f.self.NAT == path.NATHard && f.at.NAT == path.NATHard:
		return &Verdict{CodeHardNATBoth, "both networks map each UDP destination to another port", mapPorts}
	case f.oneHard() && !f.guessing:
		return &Verdict{CodeHardNAT, "one network maps each UDP destination to another port, and port guessing is off", "run without --no-port-guessing; or " + mapPorts}
	case f.oneHard() && f.at.HardRounds >= path.HardRounds:
		return &Verdict{
			CodeHardNAT, fmt.Sprintf("one network maps each UDP destination to another port, and %d rounds of guessing met none", f.at.HardRounds), mapPorts,
		}
	case !f.settled():
		return &Verdict{
			CodeConnecting, fmt.Sprintf("probing %d addresses of the peer since %v", f.at.Tried, f.now.Sub(f.at.Since).Round(10*time.Millisecond)),
			"wait a moment",
		}
	default:
		return &Verdict{
			CodePeerFirewall, fmt.Sprintf("UDP works, but none of the peer's %d addresses answers", f.at.Tried),
			"allow UDP between the two networks, in both directions",
		}
	}
}

// noRelay says why there is no relay. UDP may be open where none answers over that,
// either: there is nobody to tell.
func (f *facts) noRelay() string {
	if f.self.NAT == path.NATBlocked {
		return f.relayErr.Error() + "; nor does any relay answer over UDP"
	}
	return f.relayErr.Error()
}

// settled reports whether a direct path has had the time to be found.
func (f *facts) settled() bool { return f.now.Sub(f.at.Since) >= settleFor }

// oneHard reports whether one end's NAT is hard and the other's is not.
func (f *facts) oneHard() bool {
	return (f.self.NAT == path.NATHard) != (f.at.NAT == path.NATHard)
}

// apart reports whether one end has addresses of IPv4 alone and the other of
// IPv6 alone.
func (f *facts) apart() bool {
	own4 := slices.ContainsFunc(f.self.Endpoints, func(a netip.AddrPort) bool { return a.Addr().Is4() })
	own6 := slices.ContainsFunc(f.self.Endpoints, func(a netip.AddrPort) bool { return a.Addr().Is6() })
	return own4 != own6 && f.at.IPv4 != f.at.IPv6 && own4 != f.at.IPv4
}
