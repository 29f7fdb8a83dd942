package path

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/ipv6"
	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/net/batching"
	"tailscale.com/net/packet"
)

// noKernel is a socket below which there is nothing: it gives the same packets
// again and again and takes whatever is sent.
type noKernel struct {
	batching.Conn
	packets [][]byte
	from    *net.UDPAddr
}

func (k *noKernel) ReadBatch(msgs []ipv6.Message, _ int) (int, error) {
	for i, p := range k.packets {
		msgs[i].N, msgs[i].Addr = copy(msgs[i].Buffers[0], p), k.from
	}
	return len(k.packets), nil
}

func (k *noKernel) WriteBatchTo([][]byte, netip.AddrPort, packet.GeneveHeader, int) error { return nil }

// withoutKernel is a Bind with one peer at an address, and no kernel below. What
// came is 45 packets: a super-packet's worth.
func withoutKernel(tb testing.TB) (b *Bind, p *Peer, sock *socket) {
	at := netip.MustParseAddrPort("203.0.113.7:4242")
	b, err := New(Config{PrivateKey: [32]byte{1}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { b.Shutdown() })
	p = b.SetPeer(PeerInfo{PublicKey: [32]byte{2}, DiscoKey: [32]byte{3}})
	b.learnAddr(p, at)
	kernel := &noKernel{from: net.UDPAddrFromAddrPort(at)}
	for range 45 {
		kernel.packets = append(kernel.packets, wireGuard(wgTransport, 1472))
	}
	uc, err := net.ListenUDP("udp4", nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { uc.Close() })
	sock = newSocket(uc, "udp4", true)
	sock.joined, sock.single = kernel, kernel
	b.socks.Store(&sockets{v4: sock, closed: make(chan struct{})})
	p.route.Store(&liveRoute{route: route{direct: way{addr: at}, limit: 1472, relay: relayLast, guard: time.Second}})
	return b, p, sock
}

// receiving returns what receives a batch.
func receiving(tb testing.TB) func() {
	b, p, sock := withoutKernel(tb)
	receive := b.receiver(sock, make(chan struct{}))
	bufs, sizes, eps := make([][]byte, batchSize), make([]int, batchSize), make([]conn.Endpoint, batchSize)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	return func() {
		if n, err := receive(bufs, sizes, eps); n != 45 || err != nil || eps[44] != conn.Endpoint(p) {
			tb.Fatalf("received %d packets, %v", n, err)
		}
	}
}

// sending returns what sends a batch.
func sending(tb testing.TB) func() {
	b, p, _ := withoutKernel(tb)
	bufs := make([][]byte, 45)
	for i := range bufs {
		bufs[i] = wireGuard(wgTransport, 1472)
	}
	return func() {
		if err := b.Send(bufs, p); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestReceivingAndSendingDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations cannot be counted under the race detector")
	}
	for name, f := range map[string]func(){"receive": receiving(t), "send": sending(t)} {
		if n := testing.AllocsPerRun(1000, f); n > 0 {
			t.Errorf("%s: %v allocations a batch", name, n)
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	f := receiving(b)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(45*b.N), "ns/packet")
}

func BenchmarkSend(b *testing.B) {
	f := sending(b)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(45*b.N), "ns/packet")
}

// BenchmarkChoice is what a second of an active peer with many addresses costs:
// its ticks, and the choice of the route after each.
func BenchmarkChoice(b *testing.B) {
	now := time.Now()
	m := newMachine(now, newTxID)
	var addrs []netip.AddrPort
	for i := range maxCandidates {
		addrs = append(addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 1))
	}
	for _, p := range m.setTold(now, addrs).pings {
		m.ponged(now.Add(time.Millisecond), p.way, pong{tx: p.tx})
	}
	b.ReportAllocs()
	for b.Loop() {
		for end := now.Add(time.Second); now.Before(end); now = now.Add(tickEvery) {
			acts, _ := m.tick(now, traffic{sent: now, received: now})
			for _, p := range acts.pings {
				m.ponged(now, p.way, pong{tx: p.tx})
			}
			_ = m.route()
		}
	}
}
