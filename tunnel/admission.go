package tunnel

import (
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// maxPort is the highest one.
const maxPort = 65535

// admission is what one peer may send. It does not change. A nil one admits nothing.
type admission []opening

// opening is ports of a protocol, or of all protocols that rules know.
type opening struct {
	protocol    meshv1.Allow_Protocol
	first, last uint16
}

func newAdmission(rules []*meshv1.Allow) *admission {
	a := make(admission, 0, len(rules))
	for _, r := range rules {
		first, last := min(r.GetFirstPort(), maxPort), min(r.GetLastPort(), maxPort)
		if first == 0 && last == 0 {
			last = maxPort
		}
		a = append(a, opening{r.GetProtocol(), uint16(first), uint16(last)})
	}
	return &a
}

// admit reports whether a peer may begin something. Ping has no ports. What a later version
// may call another protocol is none that is asked for.
func (a *admission) admit(protocol meshv1.Allow_Protocol, port uint16) bool {
	if a == nil {
		return false
	}
	for _, o := range *a {
		if (o.protocol == protocol || o.protocol == meshv1.Allow_ANY) &&
			(protocol == meshv1.Allow_ICMP || o.first <= port && port <= o.last) {
			return true
		}
	}
	return false
}
