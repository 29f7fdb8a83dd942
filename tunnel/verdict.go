package tunnel

import (
	"fmt"
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
	CodeUDPBlocked   = "udp-blocked"
	CodeHardNATBoth  = "hard-nat-both"
	CodePeerFirewall = "peer-firewall"
	CodeNoRelay      = "no-relay"
	CodePeerOffline  = "peer-offline"
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
	now      time.Time
}

// judge returns why a peer is not direct, or nil when it is.
func judge(f facts) *Verdict {
	if f.at.Direct.IsValid() {
		return nil
	}
	const openUDP = "let UDP out of this network, and answers to it back in"
	switch {
	case f.self.NAT == path.NATBlocked:
		return &Verdict{
			Code:     CodeUDPBlocked,
			Evidence: fmt.Sprintf("none of %d STUN servers answered this node over UDP", f.self.STUNServers),
			Fix:      openUDP,
		}
	case f.at.NAT == path.NATBlocked:
		return &Verdict{
			Code:     CodeUDPBlocked,
			Evidence: "the peer's node gets no answer over UDP from any STUN server",
			Fix:      "let UDP out of the peer's network, and answers to it back in",
		}
	case f.relayErr != nil:
		return &Verdict{
			Code:     CodeNoRelay,
			Evidence: f.relayErr.Error(),
			Fix:      "make the relay's HTTPS port reachable from this network",
		}
	case !f.online:
		return &Verdict{
			Code:     CodePeerOffline,
			Evidence: "the peer has no control session",
			Fix:      "start the agent, or look at its log",
		}
	case f.self.NAT == path.NATHard && f.at.NAT == path.NATHard:
		return &Verdict{
			Code:     CodeHardNATBoth,
			Evidence: "both networks map each UDP destination to another port",
			Fix:      "turn on UPnP, NAT-PMP or PCP, or endpoint-independent mapping, on one of the two routers",
		}
	case f.now.Sub(f.at.Since) < settleFor:
		return &Verdict{
			Code:     CodeConnecting,
			Evidence: fmt.Sprintf("probing %d addresses of the peer since %v", f.at.Tried, f.now.Sub(f.at.Since).Round(10*time.Millisecond)),
			Fix:      "wait a moment",
		}
	default:
		return &Verdict{
			Code:     CodePeerFirewall,
			Evidence: fmt.Sprintf("UDP works, but none of the peer's %d addresses answers", f.at.Tried),
			Fix:      "allow UDP between the two networks, in both directions",
		}
	}
}
