package derp

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/types/key"
)

// passing is the sessions of a UDP relay, without sockets.
type passing struct {
	*passages
	t      testing.TB
	counts *udpCounts
	now    time.Time
}

func startPassing(t testing.TB) *passing {
	return &passing{newPassages(key.NewDisco()), t, newUDPCounts(slog.New(slog.DiscardHandler)), time.Unix(1e9, 0)}
}

// sent is what the relay sends when datagrams come from an address, all of a size but
// the last.
func (p *passing) sent(from string, size int, datagrams ...[]byte) []bundle {
	return p.pass(bundle{netip.MustParseAddrPort(from), bytes.Join(datagrams, nil), size}, p.now, nil, p.counts)
}

// one is what it sends when one datagram comes.
func (p *passing) one(from string, datagram []byte) []bundle {
	return p.sent(from, len(datagram), datagram)
}

// end is one end of a session.
type end struct {
	own   key.DiscoPrivate
	other key.DiscoPublic
}

func (p *passing) say(e end, number, round uint32, challenge [32]byte) []byte {
	common := disco.BindUDPRelayEndpointCommon{VNI: number, Generation: round, RemoteKey: e.other, Challenge: challenge}
	var m disco.Message = &disco.BindUDPRelayEndpoint{BindUDPRelayEndpointCommon: common}
	if challenge != ([32]byte{}) {
		m = &disco.BindUDPRelayEndpointAnswer{BindUDPRelayEndpointCommon: common}
	}
	return append(geneve(number, packet.GeneveProtocolDisco, true), sealDisco(e.own, p.public, m)...)
}

// challenged has an end ask, and returns what it is challenged with.
func (p *passing) challenged(e end, from string, number, round uint32) (challenge [32]byte, ok bool) {
	p.t.Helper()
	out := p.one(from, p.say(e, number, round, challenge))
	if len(out) != 1 || out[0].at.String() != from {
		return challenge, false
	}
	m, ok := openDisco(e.own, p.public, out[0].data[packet.GeneveFixedHeaderLength:]).(*disco.BindUDPRelayEndpointChallenge)
	if !ok || m.VNI != number || m.Generation != round || m.RemoteKey != e.other {
		p.t.Fatalf("challenged with %+v", m)
	}
	return m.Challenge, true
}

func (p *passing) bind(e end, from string, number, round uint32) {
	p.t.Helper()
	challenge, ok := p.challenged(e, from, number, round)
	if !ok {
		p.t.Fatal("no challenge came")
	}
	if out := p.one(from, p.say(e, number, round, challenge)); len(out) != 0 {
		p.t.Fatalf("an answer was answered: %v", out)
	}
}

// pair opens a session between two new ends.
func (p *passing) pair() (a, b end, number uint32) {
	p.t.Helper()
	keys := [2]key.DiscoPrivate{key.NewDisco(), key.NewDisco()}
	s, err := p.open(keys[0].Public(), keys[1].Public(), key.NodePublic{}, p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return end{keys[0], keys[1].Public()}, end{keys[1], keys[0].Public()}, s.number
}

func data(number uint32, text string) []byte {
	return append(geneve(number, packet.GeneveProtocolWireGuard, false), text...)
}

const (
	atA, atB, atC = "192.0.2.1:1000", "[2001:db8::2]:2000", "203.0.113.3:3000"
)

// Nothing passes before both ends have shown where they are, and then between the two
// alone. An end that moves shows it anew, and its old place is nobody's.
func TestDatagramsPassBetweenTheEndsOfASession(t *testing.T) {
	p := startPassing(t)
	a, b, number := p.pair()
	quiet := func(what string, why refusal, out []bundle) {
		t.Helper()
		if len(out) != 0 {
			t.Errorf("%s: %v was sent", what, out)
		}
		if got := testutil.ToFloat64(p.counts.refused[why]); got != 1 {
			t.Errorf("%s: %v are counted as %s, want one", what, got, why)
		}
		p.counts = newUDPCounts(slog.New(slog.DiscardHandler))
	}
	passes := func(from, to string) {
		t.Helper()
		packet := data(number, "hello")
		out := p.one(from, packet)
		if len(out) != 1 || out[0].at.String() != to || !bytes.Equal(out[0].data, packet) {
			t.Errorf("from %s: sent %v", from, out)
		}
	}
	quiet("no end", refusedUnbound, p.one(atA, data(number, "hello")))
	p.bind(a, atA, number, 1)
	quiet("one end", refusedUnbound, p.one(atA, data(number, "hello")))
	p.bind(b, atB, number, 1)
	passes(atA, atB)
	passes(atB, atA)
	quiet("from elsewhere", refusedStranger, p.one(atC, data(number, "hello")))
	quiet("another session", refusedUnknown, p.one(atA, data(number+1, "hello")))
	quiet("nothing inside", refusedForeign, p.one(atA, data(number, "")))
	quiet("garbage", refusedForeign, p.one(atA, []byte("hello hello hello")[:8]))

	p.bind(a, atC, number, 2)
	passes(atC, atB)
	passes(atB, atC)
	quiet("where it was", refusedStranger, p.one(atA, data(number, "hello")))
	if packets := p.counts.packets.Load(); packets != 0 {
		t.Errorf("%d packets are counted since", packets)
	}
}

// Nobody takes an end's place: not with another key, not from where no challenge went,
// not with one of another round, of before, or of another relay.
func TestNobodyTakesAnEndsPlace(t *testing.T) {
	p := startPassing(t)
	a, b, number := p.pair()
	p.bind(a, atA, number, 1)
	p.bind(b, atB, number, 1)
	challenge, ok := p.challenged(a, atA, number, 2)
	if !ok {
		t.Fatal("no challenge")
	}
	stranger := end{key.NewDisco(), a.other}
	for name, datagram := range map[string][]byte{
		"a stranger asks":               p.say(stranger, number, 3, [32]byte{}),
		"of another session":            p.say(a, number+1, 3, [32]byte{}),
		"round zero":                    p.say(a, number, 0, [32]byte{}),
		"for another end":               p.say(end{a.own, key.NewDisco().Public()}, number, 3, [32]byte{}),
		"an answer from elsewhere":      p.say(a, number, 2, challenge),
		"an answer of another round":    p.say(a, number, 1, challenge),
		"an answer that is made up":     p.say(a, number, 2, [32]byte{1}),
		"the other end's, with another": p.say(b, number, 2, challenge),
	} {
		if out := p.one(atC, datagram); len(out) != 0 {
			t.Errorf("%s: answered with %v", name, out)
		}
	}
	if out := p.one(atB, data(number, "hello")); len(out) != 1 || out[0].at.String() != atA {
		t.Errorf("after it all datagrams go to %v", out)
	}
	p.now = p.now.Add(3 * secretLasts)
	p.challenges(p.now)
	p.now = p.now.Add(2 * secretLasts)
	p.one(atA, p.say(a, number, 2, challenge)) // asks for the secrets, twice older than it
	p.bind(a, atC, number, 5)
	if out := p.one(atC, p.say(a, number, 5, challenge)); len(out) != 0 {
		t.Errorf("an old challenge was answered: %v", out)
	}
}

// What the kernel has joined may be of several sessions, and is sent on in as few pieces
// as it can be.
func TestJoinedDatagramsOfSeveralSessions(t *testing.T) {
	p := startPassing(t)
	var numbers [2]uint32
	for i := range numbers {
		a, b, number := p.pair()
		p.bind(a, atA, number, 1)
		p.bind(b, []string{atB, atC}[i], number, 1)
		numbers[i] = number
	}
	x, y := data(numbers[0], "0123456789"), data(numbers[1], "0123456789")
	out := p.sent(atA, len(x), x, x, y, bytes.Repeat([]byte{0xff}, len(x)), y, x, x, x[:12])
	want := []struct {
		to string
		n  int
	}{{atB, 2}, {atC, 1}, {atC, 1}, {atB, 3}}
	if len(out) != len(want) {
		t.Fatalf("sent %v", out)
	}
	total := 0
	for i, w := range want {
		if out[i].at.String() != w.to || out[i].count() != w.n || out[i].size != len(x) {
			t.Errorf("piece %d: to %v, %d of %d", i, out[i].at, out[i].count(), out[i].size)
		}
		total += w.n
	}
	if got := p.counts.packets.Load(); got != int64(total) {
		t.Errorf("%d packets are counted, want %d", got, total)
	}
	if got := testutil.ToFloat64(p.counts.refused[refusedForeign]); got != 1 {
		t.Errorf("%v are counted as foreign", got)
	}
}

// Garbage is counted each, and said once. What happens to ends that move is not said.
func TestGarbageToTheUDPRelayIsSaidOnce(t *testing.T) {
	var log spoken
	p := startPassing(t)
	p.counts = newUDPCounts(slog.New(slog.NewTextHandler(&log, nil)))
	for range 1000 {
		p.one(atA, []byte("GET / HTTP/1.1\r\n\r\n"))
		p.one(atA, data(77, "hello"))
	}
	for _, why := range []refusal{refusedForeign, refusedUnknown} {
		if got := testutil.ToFloat64(p.counts.refused[why]); got != 1000 {
			t.Errorf("%v are counted as %s, want 1000", got, why)
		}
	}
	if n := log.times("\n"); n != 1 || log.times("reason=foreign") != 1 {
		t.Errorf("the log has %d lines, want one", n)
	}
}

// Sessions end when nobody comes, or one end is silent; a pair has one at a time.
func TestSessionsEnd(t *testing.T) {
	p := startPassing(t)
	a, b, number := p.pair()
	again, err := p.open(b.own.Public(), a.own.Public(), key.NodePublic{}, p.now)
	if err != nil || again.number != number {
		t.Errorf("the pair's second is %+v, %v", again, err)
	}
	began := p.now
	p.now = began.Add(bindWithin + time.Second)
	if live, _ := p.live(p.now); live != 0 {
		t.Errorf("%v live that nobody came to", live)
	}
	next, err := p.open(a.own.Public(), b.own.Public(), key.NodePublic{}, p.now)
	if err != nil || next.number == number || next.order <= again.order {
		t.Errorf("the next is %+v, %v", next, err)
	}
	p.bind(a, atA, next.number, 1)
	p.bind(b, atB, next.number, 1)
	for range 3 {
		p.now = p.now.Add(silentFor - time.Second)
		p.one(atA, data(next.number, "hello"))
		p.one(atB, data(next.number, "hello"))
		p.forget(p.now)
	}
	if live, bound := p.live(p.now); p.get(next.number) == nil || live != 1 || bound != 1 {
		t.Errorf("%v live, %d with both ends", live, bound)
	}
	p.now = p.now.Add(silentFor - time.Second)
	p.one(atA, data(next.number, "hello"))
	p.now = p.now.Add(2 * time.Second)
	p.forget(p.now)
	if len(p.byNumber) != 0 || len(p.byPair) != 0 {
		t.Errorf("%d are left though one end is silent", len(p.byNumber))
	}
}

// Whatever comes goes to the two ends of a session, whole datagrams of it and no others,
// or back to where it came from.
func FuzzPassages(f *testing.F) {
	p := startPassing(f)
	a, b, number := p.pair()
	p.bind(a, atA, number, 1)
	p.bind(b, atB, number, 1)
	f.Add(data(number, "hello"), 13, true)
	f.Add(append(data(number, "hello"), data(number, "hel")...), 13, false)
	f.Add(p.say(a, number, 7, [32]byte{}), 200, true)
	f.Fuzz(func(t *testing.T, in []byte, size int, fromA bool) {
		if len(in) == 0 || len(in) > 1<<16 || size <= 0 || size > 1<<16 {
			return
		}
		from, to := atC, atB
		if fromA {
			from = atA
		}
		carried := 0
		for _, o := range p.sent(from, size, in) {
			switch o.at.String() {
			case to:
				if !fromA || o.size != size || !bytes.Contains(in, o.data) || !bytes.HasPrefix(o.data[4:], geneve(number, 0, false)[4:7]) {
					t.Errorf("%d bytes were sent on", len(o.data))
				}
				carried += len(o.data)
			case from:
			default:
				t.Errorf("sent to %v", o.at)
			}
		}
		if carried > len(in) {
			t.Errorf("%d bytes came, and %d were sent on", len(in), carried)
		}
	})
}
