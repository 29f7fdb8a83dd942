package health

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// RelayProbe is what a relay did when it was asked for what nodes ask of it.
type RelayProbe struct {
	// Err is why it carried nothing; nil when it did.
	Err error
	// Silent are the UDP ports that did not answer STUN.
	Silent []uint16
	// UDP is why its UDP relay carried nothing; nil when it did, or there is none.
	UDP error
	// CertificateEnds is when a certificate that nodes check by its authority does;
	// zero is never. Untrusted is why they do not trust it; nil when they do.
	CertificateEnds time.Time
	Untrusted       error
}

// renewRelay is what to do about a relay's certificate that ends.
const renewRelay = "put a renewed certificate where --tls-cert and --tls-key are, which the relay reads again within 10 s (else its log says why not), or have it renew its own (--acme-host)"

// probeRelay has a relay that is there carry a packet.
func (c *Checker) probeRelay(ctx context.Context, name string, u *url.URL, r *meshv1.Relay) found {
	if c.cfg.ProbeRelay == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var list found
	probe := c.cfg.ProbeRelay(ctx, u, r)
	left := time.Until(probe.CertificateEnds)
	switch {
	case probe.Untrusted != nil && left < 0:
		list = append(list, failure(CertificateExpired, renewRelay, "the certificate of relay %s ended on %s: nodes no longer connect to it",
			name, probe.CertificateEnds.Format(time.DateOnly)))
	case probe.Untrusted != nil:
		list = append(list, failure(CertificateMismatch, "serve a certificate for the name in the relay's --address, with its whole chain (--tls-cert), or leave that out and the relay makes one",
			"nodes do not trust the certificate of relay %s: %v", name, probe.Untrusted))
	case probe.Err != nil:
		list = append(list, failure(RelayCarriesNothing, "restart it, and look for why in its log; another relay in its region serves meanwhile",
			"relay %s answers, but a packet sent by it does not arrive: %v", name, probe.Err))
	}
	if len(probe.Silent) > 0 {
		list = append(list, warning(RelaySTUNSilent, "open these UDP ports in the firewall in front of it, and forward them where there is one",
			"relay %s does not answer STUN on UDP %s: nodes that ask it do not learn their public address, and go over relays", name, ports(probe.Silent)))
	}
	if probe.UDP != nil {
		list = append(list, warning(RelayUDPSilent, "open this UDP port in the firewall in front of it, and forward it where there is one; or run it with --udp-relay-port -1",
			"relay %s carries nothing over UDP %d: %v; nodes that have no direct path relay over TCP, which is slower", name, r.GetUdp().GetPort(), probe.UDP))
	}
	if !probe.CertificateEnds.IsZero() && left >= 0 && left < expiresSoon {
		list = append(list, warning(CertificateExpiring, renewRelay, "the certificate of relay %s ends in %d days, on %s", name, int(left.Hours()/24), probe.CertificateEnds.Format(time.DateOnly)))
	}
	return list
}

func ports(list []uint16) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ", "), "[]")
}
