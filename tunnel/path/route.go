package path

import "time"

// route is where packets to a peer go. The zero route is relay only.
type route struct {
	// direct is the way over UDP; none when not valid.
	direct way
	// also is where small packets go besides, when they take every way.
	also way
	// limit is the largest UDP payload for direct. What is larger goes over
	// the relay.
	limit int
	relay relayUse
	// listens says that the machine wants to hear of the next packet sent, and of
	// large ones that come: it is not looking by itself.
	listens bool
	// guard is how long packets may go unanswered before small ones take
	// every way.
	guard time.Duration
	// rtt is the round trip of direct; zero while not known.
	rtt time.Duration
}

// relayUse says which packets go over the relay.
type relayUse uint8

const (
	relayAll   relayUse = iota
	relaySmall          // small ones
	relayLast           // only those that direct cannot take
)

// route returns where packets go now.
func (m *machine) route() route {
	r := route{direct: m.best, listens: m.asleep || m.quiet}
	switch {
	case m.mode == modeRelay:
		r.direct, r.limit = m.hint, smallPacket
		return r
	case m.mode == modeDirect && !m.asleep:
		r.relay = relayLast
	case m.mode == modeDoubt && m.now.Sub(m.doubtSince) < bulkAfter:
		r.relay = relaySmall
	}
	c := m.candidates[m.best]
	r.limit = c.mtu.limit()
	r.also = m.second()
	r.guard = guardFor<<max(0, m.alarms-1) + 2*c.rtt
	r.rtt = c.rtt
	return r
}

// second returns the next best way that is likely to work; none if there is
// no such.
func (m *machine) second() way {
	var second *candidate
	for _, c := range m.candidates {
		if c.way != m.best && c.usable(m.now) && m.now.Sub(c.answered) < secondFor &&
			(second == nil || c.before(second)) {
			second = c
		}
	}
	if second == nil {
		return way{}
	}
	return second.way
}
