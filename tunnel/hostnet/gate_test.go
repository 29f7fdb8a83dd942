package hostnet

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// patience bounds every wait.
const patience = 20 * time.Second

// pipeDevice is a device whose packets are those of a pipe, a packet a write.
type pipeDevice struct {
	tun.Device
	read, write *os.File
	written     chan []byte // what was written to the device
}

func newPipeDevice(t *testing.T) *pipeDevice {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &pipeDevice{read: r, write: w, written: make(chan []byte, 100)}
}

func (p *pipeDevice) File() *os.File { return p.read }

func (p *pipeDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	head := make([]byte, 2)
	if _, err := p.read.Read(head); err != nil {
		return 0, err
	}
	n, err := p.read.Read(bufs[0][offset : offset+int(binary.BigEndian.Uint16(head))])
	sizes[0] = n
	return 1, err
}

func (p *pipeDevice) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		p.written <- append([]byte{}, b[offset:]...)
	}
	return len(bufs), nil
}

// send has the machine send a packet.
func (p *pipeDevice) send(t *testing.T, packet []byte) {
	t.Helper()
	if _, err := p.write.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		t.Fatal(err)
	}
}

var (
	here  = netip.MustParseAddr("fdad:17:ad17::1")
	cold  = netip.MustParseAddr("fdad:17:ad17::2")
	other = netip.MustParseAddr("fdad:17:ad17::3")
)

// packetTo is a packet of UDP with one byte that tells it from others.
func packetTo(dst netip.Addr, which byte) []byte {
	p := make([]byte, ipv6HeaderLen+9)
	p[0], p[6], p[len(p)-1] = 6<<4, 17, which
	binary.BigEndian.PutUint16(p[4:], 9)
	src, to := here.As16(), dst.As16()
	copy(p[8:], src[:])
	copy(p[24:], to[:])
	return p
}

// gated is a gate that somebody reads.
type gated struct {
	*Gate
	dev   *pipeDevice
	asked chan netip.Addr
	out   chan []byte
}

func newGated(t *testing.T) *gated {
	t.Helper()
	g := &gated{dev: newPipeDevice(t), asked: make(chan netip.Addr, 100), out: make(chan []byte, 100)}
	g.Gate = NewGate(g.dev, func(a netip.Addr) { g.asked <- a })
	go func() {
		bufs, sizes := make([][]byte, 8), make([]int, 8)
		for i := range bufs {
			bufs[i] = make([]byte, 2048)
		}
		for {
			n, err := g.Read(bufs, sizes, headroom)
			if err != nil {
				close(g.out)
				return
			}
			for i := range n {
				g.out <- append([]byte{}, bufs[i][headroom:headroom+sizes[i]]...)
			}
		}
	}()
	return g
}

func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

func (g *gated) leaves(t *testing.T, which byte) {
	t.Helper()
	if p := next(t, "a packet", g.out); p[len(p)-1] != which {
		t.Errorf("packet %d left, want %d", p[len(p)-1], which)
	}
}

// The first packets to a peer wait for its tunnel, which is asked for once, and leave
// in their order. Those to others pass them by.
func TestPacketsWaitForATunnel(t *testing.T) {
	g := newGated(t)
	g.SetPeers([]netip.Addr{cold, other})
	g.Open(other)
	g.Opened(next(t, "other is asked for", g.asked))
	g.dev.send(t, packetTo(cold, 1))
	g.dev.send(t, packetTo(cold, 2))
	g.dev.send(t, packetTo(other, 3))
	g.leaves(t, 3)
	if a := next(t, "cold is asked for", g.asked); a != cold {
		t.Errorf("asked for %v", a)
	}
	g.Opened(cold)
	g.leaves(t, 1)
	g.leaves(t, 2)
	g.dev.send(t, packetTo(cold, 4))
	g.leaves(t, 4)
	if len(g.asked) > 0 {
		t.Errorf("%v was asked for again", <-g.asked)
	}
}

// A tunnel that was dropped is asked for anew, and whoever is waited for in vain is
// told from one that was dropped.
func TestTunnelsComeAndGo(t *testing.T) {
	g := newGated(t)
	g.SetPeers([]netip.Addr{cold})
	for round := range byte(3) {
		g.dev.send(t, packetTo(cold, round))
		next(t, "cold is asked for", g.asked)
		g.Opened(cold)
		g.leaves(t, round)
		if list, others := g.Unused(); len(list) > 0 || !others {
			t.Errorf("%v unused, and was just used", list)
		}
		if list, others := g.Unused(); len(list) != 1 || others {
			t.Errorf("%v unused", list)
		}
		g.Shut(cold)
	}
	g.dev.send(t, packetTo(cold, 9))
	next(t, "cold is asked for", g.asked)
	g.Failed(cold)
	if answer := next(t, "an answer", g.dev.written); answer[ipv6HeaderLen] != 1 || answer[ipv6HeaderLen+1] != unreachableAddress {
		t.Errorf("answered with type %d, code %d", answer[ipv6HeaderLen], answer[ipv6HeaderLen+1])
	}
}

func TestWhatIsNobodysIsAnsweredAtOnce(t *testing.T) {
	g := newGated(t)
	g.dev.send(t, packetTo(cold, 1))
	answer := next(t, "an answer", g.dev.written)
	if answer[ipv6HeaderLen] != 1 || answer[ipv6HeaderLen+1] != unreachableRoute || netip.AddrFrom16([16]byte(answer[24:40])) != here {
		t.Errorf("answered with %x", answer)
	}
	// An error is not answered, or two machines would do so for ever.
	g.dev.send(t, answer)
	g.SetPeers([]netip.Addr{cold})
	g.dev.send(t, packetTo(cold, 2))
	next(t, "cold is asked for", g.asked)
	if len(g.dev.written) > 0 {
		t.Errorf("an error was answered with %x", <-g.dev.written)
	}
}

// More packets than a queue's worth do not wait.
func TestFewPacketsWait(t *testing.T) {
	g := newGated(t)
	g.SetPeers([]netip.Addr{cold, other})
	for range 3 * maxHeld {
		g.dev.send(t, packetTo(cold, 1))
	}
	g.dev.send(t, packetTo(other, 2))
	next(t, "cold is asked for", g.asked)
	next(t, "other is asked for, hence all was read", g.asked)
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.doors[cold].held); n != maxHeld {
		t.Errorf("%d packets wait", n)
	}
}

// Our own echoes leave as packets do, and their answers stay with us.
func TestOurOwnEchoes(t *testing.T) {
	g := newGated(t)
	g.SetPeers([]netip.Addr{cold})
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := g.Ping(ctx, here, cold)
		done <- err
	}()
	next(t, "cold is asked for", g.asked)
	g.Opened(cold)
	request := next(t, "an echo request", g.out)
	reply := append(make([]byte, headroom), request...)
	reply[headroom+ipv6HeaderLen] = typeEchoReply
	foreign := append(make([]byte, headroom), request...)
	foreign[headroom+ipv6HeaderLen], foreign[len(foreign)-1] = typeEchoReply, foreign[len(foreign)-1]+1
	if n, err := g.Write([][]byte{foreign, reply}, headroom); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := next(t, "the answer", done); err != nil {
		t.Error(err)
	}
	if len(g.dev.written) != 1 {
		t.Errorf("%d echoes reached the machine, want the one that is not ours", len(g.dev.written))
	}
}

func TestThePathToAnOpenPeerCostsNoMemory(t *testing.T) {
	g := NewGate(newPipeDevice(t), func(netip.Addr) {})
	g.SetPeers([]netip.Addr{cold})
	g.Open(cold)
	g.Opened(cold)
	packet := packetTo(cold, 1)
	if n := testing.AllocsPerRun(1000, func() {
		if !g.admits(packet) {
			t.Fatal("not admitted")
		}
	}); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
