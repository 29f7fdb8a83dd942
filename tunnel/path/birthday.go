package path

import (
	"net/netip"
	"slices"
	"time"
)

// Where one end's NAT maps each destination to another port (hard) and the
// other's lets in only whom it has sent to (port-restricted), neither can know
// where to send: the hard end's port is random for each destination. But it can
// have many of them. The hard end opens ports: hardPorts sockets that each send
// a ping to the easy end, which makes as many mappings. The easy end sprays:
// sprayProbes pings to random ports of the hard end's address. By the paradox
// of birthdays one of them meets one of the mappings, with a probability of
// 1 - (1 - 256/64512)^1024 = 98 % a round.
// HardRounds is how many rounds there are before the attempt counts as failed.
const HardRounds = 3

const (
	hardPorts   = 256
	sprayProbes = 1024

	// hardAfter is how long the plain way is tried before. It is enough when
	// the easy end's NAT lets everybody in.
	hardAfter = 250 * time.Millisecond

	// hardFor is how long the ports of a round stay open and its probes may
	// be answered: well below the 30 s that a NAT keeps an unanswered mapping,
	// and long enough for a round trip to the far side of the earth.
	hardFor = 3 * time.Second

	// hardAgain is how long after the last of HardRounds it is tried anew.
	hardAgain = 10 * time.Minute

	// firstSprayed is the lowest port tried: no NAT maps to a well-known port.
	firstSprayed = 1024
)

// birthday is the state of that attempt towards one peer.
type birthday struct {
	self, peer NAT
	off        bool

	rounds  int
	roundAt time.Time
	// tx and targets are of the spray under way.
	tx      txID
	targets []netip.Addr
}

// due reports whether a round may begin now.
func (b *birthday) due(now, tryingSince time.Time) bool {
	if now.Sub(b.roundAt) >= hardAgain {
		b.rounds = 0
	}
	return !b.off && b.rounds < HardRounds && now.Sub(tryingSince) >= hardAfter && now.Sub(b.roundAt) >= hardFor/4
}

func (b *birthday) begin(now time.Time) {
	b.rounds++
	b.roundAt = now
}

// opensPorts reports whether it is this end that opens ports.
func (b *birthday) opensPorts() bool { return b.self == NATHard && b.peer == NATEasy }

// sprays reports whether it is this end that sprays.
func (b *birthday) sprays() bool { return b.self == NATEasy && b.peer == NATHard }

// sprayed reports whether a pong with tx from addr answers the spray under way.
func (b *birthday) sprayed(now time.Time, tx txID, addr netip.AddrPort) bool {
	return len(b.targets) > 0 && tx == b.tx && now.Sub(b.roundAt) < hardFor && slices.Contains(b.targets, addr.Addr())
}

// maxSprayed bounds the addresses that one round is spent on.
const maxSprayed = 2

// outsideV4 returns the addresses among the candidates at which the peer's NAT
// may be: those of IPv4 that the peer names and that are not private.
func outsideV4(cands map[way]*candidate) []netip.AddrPort {
	var at []netip.AddrPort
	for _, c := range cands {
		ip := c.addr.Addr()
		if c.told && c.sock == 0 && ip.Is4() && !ip.IsPrivate() && !ip.IsLoopback() {
			at = append(at, c.addr)
		}
	}
	slices.SortFunc(at, netip.AddrPort.Compare)
	return at
}

// startBirthday begins a round if one is due, as far as it is this end's to
// begin: the end that opens ports says so by its call-me-maybe, and the other
// sprays when that comes.
func (m *machine) startBirthday(now time.Time, acts *actions) {
	if !m.birthday.opensPorts() || !m.birthday.due(now, m.tryingSince) {
		return
	}
	targets := outsideV4(m.candidates)
	if len(targets) == 0 {
		return
	}
	m.birthday.begin(now)
	acts.openPorts = targets[:min(len(targets), maxSprayed)]
}

// answerBirthday sprays when the peer has opened its ports.
func (m *machine) answerBirthday(now time.Time, acts *actions) {
	b := &m.birthday
	if !b.sprays() || !b.due(now, m.tryingSince) {
		return
	}
	b.targets = b.targets[:0]
	for _, at := range outsideV4(m.candidates) {
		if ip := at.Addr(); !slices.Contains(b.targets, ip) && len(b.targets) < maxSprayed {
			b.targets = append(b.targets, ip)
		}
	}
	if len(b.targets) == 0 {
		return
	}
	b.begin(now)
	b.tx = m.newTx()
	acts.spray, acts.sprayTx = slices.Clone(b.targets), b.tx
}
