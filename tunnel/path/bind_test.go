package path

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/net/stun/stuntest"
	"tailscale.com/types/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// relayServer is a real DERP server over plain HTTP.
func relayServer(t *testing.T) string {
	t.Helper()
	s := derpserver.New(key.NewNode(), func(string, ...any) {})
	web := httptest.NewServer(derpserver.Handler(s))
	t.Cleanup(func() {
		s.Close()
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL
}

// end is a Bind with a receiver, in place of a WireGuard device.
type end struct {
	*Bind
	key  [32]byte
	self chan Self
	got  chan received
	peer *Peer // the other end
}

type received struct {
	packet []byte
	from   conn.Endpoint
}

func newEnd(t *testing.T, relay string, stunPort uint16) *end {
	t.Helper()
	return newEndExcluding(t, relay, stunPort, nil)
}

func newEndExcluding(t *testing.T, relay string, stunPort uint16, exclude func(netip.Addr) bool) *end {
	t.Helper()
	e := &end{self: make(chan Self, 100), got: make(chan received, 1000)}
	var priv [32]byte
	rand.Read(priv[:])
	b, err := New(Config{
		PrivateKey: priv, OnSelf: func(s Self) { e.self <- s }, Exclude: exclude,
		Options: Options{NoPortMapping: true}, // this machine's network is not the test's
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Bind, e.key = b, [32]byte(rawNode(b.pub))
	fns, _, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, len(fns))
	for _, fn := range fns {
		go func() {
			e.receive(fn)
			done <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		if err := b.Shutdown(); err != nil {
			t.Error(err)
		}
		for range fns {
			<-done
		}
	})
	if relay != "" {
		r := Relay{Name: "r", URL: relay}
		if stunPort != 0 {
			r.STUNPorts = []uint16{stunPort}
		}
		b.SetRelays([]Region{{ID: 900, Code: "test", Relays: []Relay{r}}})
	}
	return e
}

func (e *end) receive(fn conn.ReceiveFunc) {
	bufs, sizes, eps := make([][]byte, batchSize), make([]int, batchSize), make([]conn.Endpoint, batchSize)
	for i := range bufs {
		bufs[i] = make([]byte, 65535)
	}
	for {
		n, err := fn(bufs, sizes, eps)
		if err != nil {
			return
		}
		for i := range n {
			if sizes[i] > 0 {
				e.got <- received{bytes.Clone(bufs[i][:sizes[i]]), eps[i]}
			}
		}
	}
}

// introduce makes each a peer of the other, with these addresses.
func introduce(a, b *end, aAddrs, bAddrs []netip.AddrPort) {
	a.peer = a.SetPeer(PeerInfo{PublicKey: b.key, DiscoKey: b.DiscoKey(), Endpoints: bAddrs, HomeRelay: 900})
	b.peer = b.SetPeer(PeerInfo{PublicKey: a.key, DiscoKey: a.DiscoKey(), Endpoints: aAddrs, HomeRelay: 900})
}

func (e *end) loopback() []netip.AddrPort {
	return []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.socks.Load().v4.port())}
}

// data makes a packet that looks like WireGuard's.
func data(n int) []byte {
	b := wireGuard(wgTransport, 100)
	copy(b[16:], fmt.Sprintf("packet %d", n))
	return b
}

func (e *end) expect(t *testing.T, want []byte) conn.Endpoint {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case r := <-e.got:
			if bytes.Equal(r.packet, want) {
				return r.from
			}
		case <-timeout:
			t.Fatalf("%q did not arrive", want[16:30])
		}
	}
}

func waitPath(t *testing.T, p *Peer, what string, is func(Path) bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if is(p.Path()) {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
	t.Fatalf("not %s: %+v", what, p.Path())
}

func TestPacketsTakeTheRelayWhileThereIsNoDirectPath(t *testing.T) {
	relay := relayServer(t)
	nowhere := func(netip.Addr) bool { return true }
	a, b := newEndExcluding(t, relay, 0, nowhere), newEndExcluding(t, relay, 0, nowhere)
	introduce(a, b, nil, nil)
	for i := 0; ; i++ { // the relay knows b from some moment on
		if err := a.Send([][]byte{data(0)}, a.peer); err != nil {
			t.Fatal(err)
		}
		select {
		case r := <-b.got:
			if r.from != conn.Endpoint(b.peer) {
				t.Errorf("came from %v, want the peer", r.from)
			}
		case <-time.After(20 * time.Millisecond):
			if i < 200 {
				continue
			}
			t.Fatal("nothing came over the relay")
		}
		break
	}
	if p := a.peer.Path(); p.Direct.IsValid() || p.Region != 900 {
		t.Errorf("path %+v, want the relay", p)
	}
}

// The peers name no addresses to each other but by call-me-maybe, over the
// relay; and the device sees the same endpoint before and after.
func TestADirectPathTakesOverFromTheRelay(t *testing.T) {
	relay := relayServer(t)
	a, b := newEnd(t, relay, 0), newEnd(t, relay, 0)
	introduce(a, b, nil, nil)
	direct := func(p Path) bool { return p.Direct.IsValid() }
	waitPath(t, a.peer, "direct", direct)
	waitPath(t, b.peer, "direct", direct)
	if err := a.Send([][]byte{data(1), data(2)}, a.peer); err != nil {
		t.Fatal(err)
	}
	b.expect(t, data(1))
	if from := b.expect(t, data(2)); from != conn.Endpoint(b.peer) {
		t.Errorf("came from %v, want the same peer as over the relay", from)
	}
}

func TestStrangersGetNoAnswerAndNothingThrough(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	// b knows a, a does not know b.
	b.SetPeer(PeerInfo{PublicKey: a.key, DiscoKey: a.DiscoKey(), Endpoints: a.loopback()})
	stranger, err := net.Dial("udp", a.loopback()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	for _, p := range [][]byte{data(1), []byte("garbage"), stun.Request(stun.NewTxID()), bytes.Repeat([]byte{0xff}, 1400)} {
		if _, err := stranger.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	stranger.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := stranger.Read(make([]byte, 100)); err == nil {
		t.Errorf("a stranger got %d bytes in answer", n)
	}
	select {
	case r := <-a.got:
		t.Errorf("%q of a stranger reached the device", r.packet)
	default:
	}
}

func TestRemovedPeerIsAStranger(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, a.loopback(), b.loopback())
	waitPath(t, a.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	waitPath(t, b.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	a.Send([][]byte{data(1)}, a.peer)
	b.expect(t, data(1))
	b.RemovePeer(a.key)
	if got := b.peerAt(a.loopback()[0]); got != nil {
		t.Errorf("the removed peer's address still leads to it")
	}
	if _, err := b.ParseEndpoint(b.peer.EndpointString()); err == nil {
		t.Error("the removed peer is still an endpoint")
	}
}

func TestSTUNFindsOurAddress(t *testing.T) {
	addr, cleanup := stuntest.Serve(t)
	defer cleanup()
	e := newEnd(t, fmt.Sprintf("http://127.0.0.1:%d", 1), uint16(addr.Port))
	timeout := time.After(patience)
	for {
		select {
		case s := <-e.self:
			if s.STUNAnswers == 1 && s.NAT == NATEasy && s.HomeRelay == 900 {
				return
			}
		case <-timeout:
			t.Fatalf("self is %+v", e.probe.current())
		}
	}
}

func TestSilentSTUNMeansUDPIsBlocked(t *testing.T) {
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0") // takes requests and answers none
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	e := newEnd(t, "http://127.0.0.1:1", uint16(deaf.LocalAddr().(*net.UDPAddr).Port))
	timeout := time.After(patience)
	for {
		select {
		case s := <-e.self:
			if s.NAT == NATBlocked {
				return
			}
		case <-timeout:
			t.Fatalf("self is %+v", e.probe.current())
		}
	}
}

func TestASocketThatDiesIsOpenedAnew(t *testing.T) {
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, a.loopback(), b.loopback())
	waitPath(t, a.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	dead := a.socks.Load().v4
	if err := dead.close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); a.socks.Load().v4 == dead; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it stays dead")
		}
	}
	if port := a.socks.Load().v4.port(); port != dead.port() {
		t.Errorf("on port %d, was on %d", port, dead.port())
	}
	b.Send([][]byte{data(1)}, b.peer)
	a.expect(t, data(1))
	a.Send([][]byte{data(2)}, a.peer)
	b.expect(t, data(2))
}

func TestSendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations cannot be counted under the race detector")
	}
	a, b := newEnd(t, "", 0), newEnd(t, "", 0)
	introduce(a, b, a.loopback(), b.loopback())
	waitPath(t, a.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	b.Close() // what the other end allocates is not counted here
	bufs := [][]byte{data(1), data(2), data(3)}
	if n := testing.AllocsPerRun(1000, func() { a.Send(bufs, a.peer) }); n > 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestNATJudgement(t *testing.T) {
	server := func(p uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), p) }
	mapped := netip.MustParseAddrPort("198.51.100.1:1000")
	other := netip.MustParseAddrPort("198.51.100.1:2000")
	for name, tt := range map[string]struct {
		answers map[netip.AddrPort]netip.AddrPort
		done    bool
		want    NAT
	}{
		"one mapping from two servers":  {map[netip.AddrPort]netip.AddrPort{server(1): mapped, server(2): mapped}, true, NATEasy},
		"two mappings from two servers": {map[netip.AddrPort]netip.AddrPort{server(1): mapped, server(2): other}, true, NATHard},
		"hard is seen at once":          {map[netip.AddrPort]netip.AddrPort{server(1): mapped, server(2): other}, false, NATHard},
		"no answer yet":                 {nil, false, NATUnknown},
		"no answer at all":              {nil, true, NATBlocked},
	} {
		f := findings{asked: 2}
		for s, m := range tt.answers {
			f.add(stunAnswer{stunRequest{region: 1, server: s}, time.Millisecond, m})
		}
		if got := f.self(tt.done).NAT; got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
