package netstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	left  = netip.MustParseAddr("fdad:17:ad17::1")
	right = netip.MustParseAddr("fdad:17:ad17::2")
)

// pair returns two stacks joined by a wire that loses nothing.
func pair(t *testing.T) (a, b *Stack) {
	t.Helper()
	stacks := [2]*Stack{}
	for i, addr := range []netip.Addr{left, right} {
		s, err := New(1280)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetAddress(addr); err != nil {
			t.Fatal(err)
		}
		stacks[i] = s
	}
	var wires sync.WaitGroup
	for i := range stacks {
		wires.Go(func() { wire(stacks[i], stacks[1-i]) })
	}
	t.Cleanup(func() {
		stacks[0].Close()
		stacks[1].Close()
		wires.Wait()
	})
	return stacks[0], stacks[1]
}

func wire(from, to *Stack) {
	bufs, sizes := make([][]byte, batch), make([]int, batch)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	for {
		n, err := from.Read(bufs, sizes, 16)
		if err != nil {
			return
		}
		out := make([][]byte, n)
		for i := range out {
			out[i] = bufs[i][:16+sizes[i]]
		}
		to.Write(out, 16)
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTCPCarriesBothWaysAndHalfCloses(t *testing.T) {
	a, b := pair(t)
	l, err := b.ListenTCP(22)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var echo sync.WaitGroup
	echo.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		h := sha256.New()
		io.Copy(h, conn) // until the half-close
		conn.Write(h.Sum(nil))
	})
	defer echo.Wait()

	conn, err := a.DialTCP(testContext(t), netip.AddrPortFrom(right, 22))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	data := bytes.Repeat([]byte("adit"), 1<<20)
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
	conn.(interface{ CloseWrite() error }).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(got, want[:]) {
		t.Error("4 MiB arrived changed")
	}
	if from := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from != left {
		t.Errorf("dialled from %v, want %v", from, left)
	}
}

func TestHandleTCPServesOrRefuses(t *testing.T) {
	a, b := pair(t)
	b.HandleTCP(func(_ context.Context, port uint16) (func(net.Conn), error) {
		if port != 8080 {
			return nil, errors.New("closed")
		}
		return func(c net.Conn) {
			c.Write([]byte("hello"))
			c.Close()
		}, nil
	})
	conn, err := a.DialTCP(testContext(t), netip.AddrPortFrom(right, 8080))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, _ := io.ReadAll(conn); string(got) != "hello" {
		t.Errorf("read %q, want hello", got)
	}
	if conn, err := a.DialTCP(testContext(t), netip.AddrPortFrom(right, 81)); err == nil {
		conn.Close()
		t.Error("connected to a port that refuses")
	}
}

func TestPing(t *testing.T) {
	a, _ := pair(t)
	if rtt, err := a.Ping(testContext(t), right); err != nil || rtt <= 0 {
		t.Errorf("ping: %v, %v", rtt, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Ping(ctx, netip.MustParseAddr("fdad:17:ad17::99")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ping of nobody: %v, want a deadline", err)
	}
}

func TestDialUDP(t *testing.T) {
	a, b := pair(t)
	at := b.fullAddress(netip.AddrPortFrom(right, 53))
	server, err := gonet.DialUDP(b.stack, &at, nil, ipv6.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var echo sync.WaitGroup
	echo.Go(func() {
		buf := make([]byte, 100)
		if n, from, err := server.ReadFrom(buf); err == nil {
			server.WriteTo(buf[:n], from)
		}
	})
	defer echo.Wait()
	conn, err := a.DialUDP(netip.AddrPortFrom(right, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("query")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "query" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

func TestAddressCanChange(t *testing.T) {
	a, b := pair(t)
	moved := netip.MustParseAddr("fdad:17:ad17::3")
	if err := b.SetAddress(moved); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(testContext(t), moved); err != nil {
		t.Error(err)
	}
}
