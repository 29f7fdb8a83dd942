package path

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"tailscale.com/net/batching"
	"tailscale.com/net/neterror"
	"tailscale.com/net/packet"

	"github.com/aditmesh/adit/tunnel/netstack"
)

// faultyJoiner is a socket whose kernel does something to joined datagrams.
type faultyJoiner struct {
	batching.Conn
	do func(bufs [][]byte) (rest [][]byte, err error)
}

func (f *faultyJoiner) WriteBatchTo(bufs [][]byte, to netip.AddrPort, g packet.GeneveHeader, offset int) error {
	if len(bufs) > 1 {
		var err error
		if bufs, err = f.do(bufs); err != nil || len(bufs) == 0 {
			return err
		}
	}
	return f.Conn.WriteBatchTo(bufs, to, g, offset)
}

// garble changes all datagrams but the first, whose place the kernel knows.
func garble(bufs [][]byte) ([][]byte, error) {
	out := [][]byte{bufs[0]}
	for _, b := range bufs[1:] {
		b = bytes.Clone(b)
		b[len(b)-1] ^= 1
		out = append(out, b)
	}
	return out, nil
}

func vanish([][]byte) ([][]byte, error) { return nil, nil }

func TestOffloadIsTriedBeforeItIsUsed(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		if err := testOffload(network, nil); err != nil {
			t.Errorf("%s, a kernel that works: %v", network, err)
		}
		for name, fault := range map[string]func([][]byte) ([][]byte, error){"garbles": garble, "loses": vanish} {
			err := testOffload(network, func(s *socket) { s.joined = &faultyJoiner{s.joined, fault} })
			if !errors.Is(err, errGarbled) {
				t.Errorf("%s, a kernel that %s joined datagrams: %v", network, name, err)
			}
		}
	}
}

// The kernel answers EIO when the interface cannot do the checksums.
func TestOffloadEndsWhenTheKernelRefuses(t *testing.T) {
	s, err := listen("udp4", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if !s.joins() {
		t.Skip("no offload on this system")
	}
	s.joined = &faultyJoiner{s.joined, func([][]byte) ([][]byte, error) {
		return nil, neterror.ErrUDPGSODisabled{} // sent one by one, as the package does
	}}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.port())
	if err := s.writeBatch([][]byte{data(1), data(2)}, to); err != nil {
		t.Errorf("what was sent one by one in the end failed: %v", err)
	}
	if s.joins() {
		t.Error("the socket still has datagrams joined")
	}
}

func TestSuspicionEndsOffloadForAWhileThatDoubles(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		var o offload
		for i := range 3 {
			if !o.suspend(time.Now()) || o.suspend(time.Now()) {
				t.Fatal("the first suspicion counts, and it alone")
			}
			rest := offloadRest << i
			time.Sleep(rest - time.Nanosecond)
			if o.resume(time.Now()) || !o.off.Load() {
				t.Errorf("on again before %v are over", rest)
			}
			time.Sleep(time.Nanosecond)
			if !o.resume(time.Now()) || o.off.Load() {
				t.Errorf("not on again after %v", rest)
			}
		}
	})
}

func TestNoUDPOffloadIsNone(t *testing.T) {
	b, err := New(Config{PrivateKey: [32]byte{1}, Options: Options{NoUDPOffload: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	if _, _, err := b.Open(0); err != nil {
		t.Fatal(err)
	}
	if s := b.socks.Load(); s.v4.joins() || s.v6 != nil && s.v6.joins() {
		t.Error("datagrams are joined")
	}
	b.resumeOffload(time.Now().Add(time.Hour))
	if b.socks.Load().v4.joins() {
		t.Error("datagrams are joined after a while")
	}
}

func TestIntegrity(t *testing.T) {
	now := time.Now()
	later := now.Add(2 * garbledOver)
	for name, c := range map[string]struct {
		came, opened     uint32
		at               time.Time
		garbled, decided bool
	}{
		"all opened":        {100, 100, later, false, true},
		"a few lost":        {100, 90, later, false, true},
		"every other one":   {100, 50, later, true, true},
		"the first of each": {100, 3, later, true, true},
		"too few to tell":   {garbledMin - 1, 0, later, false, false},
		"too early":         {100, 0, later.Add(-1), false, false},
		"more by the relay": {10, 300, later, false, true},
	} {
		var i integrity
		i.judge(now, 1<<32-5, 1<<32-9)
		i.judge(now.Add(garbledOver), c.came-5, 1<<32-9) // they are on the way
		came, opened := c.came, c.opened
		came -= 5
		opened -= 9
		if garbled, decided := i.judge(c.at, came, opened); garbled != c.garbled || decided != c.decided {
			t.Errorf("%s: garbled %v, decided %v", name, garbled, decided)
		}
	}
}

// faultyBind is a Bind on a machine that mistreats joined datagrams.
type faultyBind struct {
	*Bind
	do func([][]byte) ([][]byte, error)
}

func (f *faultyBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, port, err := f.Bind.Open(port)
	if s := f.socks.Load(); err == nil && s.v4.joined != nil {
		s.v4.joined = &faultyJoiner{s.v4.joined, f.do}
	}
	return fns, port, err
}

// countedDevice tells a peer what was opened, as tunnel does.
type countedDevice struct {
	tun.Device
	peer atomic.Pointer[Peer]
}

func (d *countedDevice) Write(bufs [][]byte, offset int) (int, error) {
	large := 0
	for _, b := range bufs {
		if IsLarge(len(b) - offset) {
			large++
		}
	}
	d.peer.Load().NoteOpened(len(bufs), large)
	return d.Device.Write(bufs, offset)
}

// wireGuardEnd is a whole tunnel end: stack, WireGuard, Bind.
type wireGuardEnd struct {
	*netstack.Stack
	bind *Bind
	dev  *device.Device
	tun  *countedDevice
	pub  [32]byte
	addr netip.Addr
}

func newWireGuardEnd(t *testing.T, n byte, do func([][]byte) ([][]byte, error)) *wireGuardEnd {
	priv := [32]byte{1: n}
	key, err := ecdh.X25519().NewPrivateKey(priv[:])
	if err != nil {
		t.Fatal(err)
	}
	stack, err := netstack.New(1280)
	if err != nil {
		t.Fatal(err)
	}
	e := &wireGuardEnd{Stack: stack, tun: &countedDevice{Device: stack}, pub: [32]byte(key.PublicKey().Bytes())}
	raw := netip.MustParseAddr("fdad:17:ad17::").As16()
	raw[15] = n
	e.addr = netip.AddrFrom16(raw)
	if err := stack.SetAddress(e.addr); err != nil {
		t.Fatal(err)
	}
	if e.bind, err = New(Config{PrivateKey: priv}); err != nil {
		t.Fatal(err)
	}
	e.dev = device.NewDevice(e.tun, &faultyBind{e.bind, do}, device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(func() {
		e.dev.Close()
		e.bind.Shutdown()
	})
	if err := e.dev.IpcSet(fmt.Sprintf("private_key=%x\n", priv)); err != nil {
		t.Fatal(err)
	}
	if err := e.dev.Up(); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *wireGuardEnd) know(t *testing.T, other *wireGuardEnd) *Peer {
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), other.bind.socks.Load().v4.port())
	p := e.bind.SetPeer(PeerInfo{PublicKey: other.pub, DiscoKey: other.bind.DiscoKey(), Endpoints: []netip.AddrPort{at}})
	e.tun.peer.Store(p)
	if err := e.dev.IpcSet(fmt.Sprintf("public_key=%x\nendpoint=%s\nallowed_ip=%s/128\n", other.pub, p.EndpointString(), other.addr)); err != nil {
		t.Fatal(err)
	}
	return p
}

// mistreated is how long a transfer may take that TCP's time-outs hold up until
// the fault is found: seconds, and several times as many on a busy machine.
const mistreated = 6 * patience

// A card that garbles or loses what the kernel joined is found out while a
// transfer is under way, and the transfer arrives.
func TestATransferSurvivesWhatMistreatsJoinedDatagrams(t *testing.T) {
	right := func(bufs [][]byte) ([][]byte, error) { return bufs, nil }
	for name, fault := range map[string]func([][]byte) ([][]byte, error){"garbled": garble, "lost": vanish} {
		t.Run(name, func(t *testing.T) {
			a, b := newWireGuardEnd(t, 1, fault), newWireGuardEnd(t, 2, right)
			if !a.bind.socks.Load().v4.joins() {
				t.Skip("no offload on this system")
			}
			ab, ba := a.know(t, b), b.know(t, a)
			for _, p := range []*Peer{ab, ba} {
				waitPath(t, p, "direct", func(p Path) bool { return p.Direct.IsValid() })
			}
			l, err := b.ListenTCP(80)
			if err != nil {
				t.Fatal(err)
			}
			var server sync.WaitGroup
			defer server.Wait()
			defer l.Close()
			server.Go(func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(mistreated)) // the other end's FIN may be lost, too
				h := sha256.New()
				io.Copy(h, conn)
				conn.Write(h.Sum(nil))
			})
			ctx, cancel := context.WithTimeout(t.Context(), mistreated)
			defer cancel()
			c, err := a.DialTCP(ctx, netip.AddrPortFrom(b.addr, 80))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			began := time.Now()
			c.SetDeadline(began.Add(mistreated))
			sent := bytes.Repeat([]byte("adit"), 4<<20)
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			c.(interface{ CloseWrite() error }).CloseWrite()
			got, err := io.ReadAll(c)
			if want := sha256.Sum256(sent); err != nil || !bytes.Equal(got, want[:]) {
				t.Errorf("16 MiB did not arrive: %v", err)
			}
			t.Logf("16 MiB took %v", time.Since(began))
			if !a.bind.offload.off.Load() {
				t.Error("the sender still has datagrams joined")
			}
		})
	}
}
