package speed

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback is the kernel's stack, in place of a tunnel's.
type loopback struct{}

func (loopback) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to.String())
}

func (loopback) DialUDP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "udp", to.String())
}

// serve serves tests on a port of loopback.
func serve(t *testing.T) (*Server, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(l, packets, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, netip.MustParseAddrPort(l.Addr().String())
}

const short = 0.1 // seconds

func TestEachWayOverEachProtocol(t *testing.T) {
	_, addr := serve(t)
	for name, r := range map[string]Request{
		"stream":              {Seconds: short},
		"stream in reverse":   {Seconds: short, Reverse: true},
		"datagrams":           {Seconds: short, Datagrams: true},
		"datagrams, reversed": {Seconds: short, Datagrams: true, Reverse: true},
	} {
		t.Run(name, func(t *testing.T) {
			var seen atomic.Int64
			got, err := Run(t.Context(), loopback{}, addr, r, func(n int) { seen.Add(int64(n)) })
			if err != nil {
				t.Fatal(err)
			}
			if got.Bytes < 1<<20 || got.Seconds < short/2 || got.Seconds > 10 || got.BitsPerSecond() <= 0 {
				t.Errorf("%+v", got)
			}
			if got.Loss < 0 || got.Loss >= 1 || !r.Datagrams && got.Loss != 0 {
				t.Errorf("loss %v", got.Loss)
			}
			if !r.Datagrams && seen.Load() != got.Bytes {
				t.Errorf("progress told %d of %d bytes", seen.Load(), got.Bytes)
			}
		})
	}
}

func TestWhatAServerRefuses(t *testing.T) {
	_, addr := serve(t)
	for name, r := range map[string]Request{
		"too long":  {Seconds: MaxDuration.Seconds() + 1},
		"no time":   {},
		"backwards": {Seconds: -1},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c := newTest(conn, r, nil)
			if err := c.ask(); err == nil || !strings.Contains(err.Error(), "at most 1m0s") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOnlyAFewTestsAtOnce(t *testing.T) {
	_, addr := serve(t)
	for range maxTests {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := newTest(conn, Request{Seconds: 1}, nil).ask(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Run(t.Context(), loopback{}, addr, Request{Seconds: short}, nil)
	if err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("one more: %v", err)
	}
}

func TestClosingTheServerEndsTests(t *testing.T) {
	s, addr := serve(t)
	began := make(chan struct{})
	var once atomic.Bool
	ended := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), loopback{}, addr, Request{Seconds: MaxDuration.Seconds()}, func(int) {
			if once.CompareAndSwap(false, true) {
				close(began)
			}
		})
		ended <- err
	}()
	<-began
	s.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a test that was cut short has a result")
		}
	case <-time.After(10 * time.Second):
		t.Error("the test goes on")
	}
}

func TestClientsContextEndsTest(t *testing.T) {
	_, addr := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, loopback{}, addr, Request{Seconds: MaxDuration.Seconds(), Reverse: true}, func(int) { cancel() })
	if err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsAllocatedPerDatagram(t *testing.T) {
	m := &meter{count: func(int) {}}
	drop := func(p []byte) (int, error) { return len(p), nil }
	var sent int64
	allocs := testing.AllocsPerRun(1, func() {
		n, err := sendDatagrams(drop, 1, 20*time.Millisecond, m)
		if err != nil {
			t.Fatal(err)
		}
		sent = n
	})
	if allocs > 2 || sent < 1000 { // the buffer
		t.Errorf("%v allocations for %d datagrams", allocs, sent)
	}
}
