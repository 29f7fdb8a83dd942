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
// 1 - (1 - 256/64512)^1024 = 98 % a round. The same ports serve all rounds.
//
// HardRounds is how many rounds there are before the attempt counts as failed.
const HardRounds = 3

const (
	hardPorts   = 256
	sprayProbes = 1024

	// hardAfter is how long the plain way is tried before. It is enough when
	// the easy end's NAT lets everybody in.
	hardAfter = 250 * time.Millisecond

	// hardEvery is the time from one round to the next: a spray takes less than
	// half of it, and the rest is for a round trip to the far side of the earth.
	hardEvery = time.Second

	// hardFor is how long after the last round the ports stay open, and how long
	// a spray may be answered: well below the 30 s that a NAT keeps an
	// unanswered mapping.
	hardFor = 3 * time.Second

	// hardAgain is how long after the last of HardRounds it is tried anew, and
	// hardRest after a path was found and lost again.
	hardAgain = 10 * time.Minute
	hardRest  = 30 * time.Second

	// firstSprayed is the lowest port tried: no NAT maps to a well-known port.
	firstSprayed = 1024
)

// birthday is the state of that attempt towards one peer.
type birthday struct {
	self, peer NAT
	off        bool

	rounds  int       // since a direct path was last found
	roundAt time.Time // when the last of them began; zero if none did
	// tx and targets are of the spray under way.
	tx      txID
	targets []netip.Addr
}

// due is when the next round may begin.
func (b *birthday) due(tryingSince time.Time) time.Time {
	at := tryingSince.Add(hardAfter)
	switch {
	case b.roundAt.IsZero():
	case b.rounds == 0:
		at = later(at, b.roundAt.Add(hardRest))
	case b.rounds < HardRounds:
		at = later(at, b.roundAt.Add(hardEvery))
	default:
		at = later(at, b.roundAt.Add(hardAgain))
	}
	return at
}

func (b *birthday) begin(now time.Time) {
	if b.rounds >= HardRounds {
		b.rounds = 0
	}
	b.rounds++
	b.roundAt = now
}

// opensPorts reports whether it is this end that opens ports.
func (b *birthday) opensPorts() bool { return !b.off && b.self == NATHard && b.peer == NATEasy }

// sprays reports whether it is this end that sprays.
func (b *birthday) sprays() bool { return !b.off && b.self == NATEasy && b.peer == NATHard }

// sprayed reports whether a pong with tx from addr answers the spray under way.
func (b *birthday) sprayed(now time.Time, tx txID, addr netip.AddrPort) bool {
	return len(b.targets) > 0 && tx == b.tx && now.Sub(b.roundAt) < hardFor && slices.Contains(b.targets, addr.Addr())
}

// maxSprayed bounds the addresses that one round is spent on.
const maxSprayed = 2

// outside reports whether a NAT may be at ip.
func outside(ip netip.Addr) bool { return ip.Is4() && ip.IsGlobalUnicast() && !ip.IsPrivate() }

// birthdayTargets returns the addresses to open ports towards: those of the peer
// that its NAT may have.
func (m *machine) birthdayTargets() []netip.AddrPort {
	var at []netip.AddrPort
	for _, c := range m.candidates {
		if c.told && c.sock == 0 && outside(c.addr.Addr()) {
			at = append(at, c.addr)
		}
	}
	slices.SortFunc(at, netip.AddrPort.Compare)
	return at[:min(len(at), maxSprayed)]
}

// nextBirthday is when to open ports; the zero time is never.
func (m *machine) nextBirthday() time.Time {
	if !m.birthday.opensPorts() || len(m.birthdayTargets()) == 0 {
		return time.Time{}
	}
	return m.birthday.due(m.tryingSince)
}

// startBirthday begins a round if one is due and it is this end's to begin: the
// end that opens ports says so to the other, which then sprays.
func (m *machine) startBirthday(now time.Time, acts *actions) {
	if at := m.nextBirthday(); at.IsZero() || now.Before(at) {
		return
	}
	m.birthday.begin(now)
	acts.openPorts = m.birthdayTargets()
}

// portsOpen sprays the addresses at which the peer has opened ports.
func (m *machine) portsOpen(now time.Time, at []netip.Addr) actions {
	m.now = now
	var acts actions
	b := &m.birthday
	// The peer keeps the pauses between rounds. Its messages may bunch up on
	// their way.
	const jitter = hardEvery / 2
	if !m.seeking() || !b.sprays() || now.Add(jitter).Before(b.due(m.tryingSince)) {
		return acts
	}
	b.targets = b.targets[:0]
	for _, ip := range at {
		if outside(ip) && !slices.Contains(b.targets, ip) && len(b.targets) < maxSprayed {
			b.targets = append(b.targets, ip)
		}
	}
	if len(b.targets) == 0 {
		return acts
	}
	b.begin(now)
	b.tx = m.newTx()
	acts.spray, acts.sprayTx = slices.Clone(b.targets), b.tx
	return acts
}
