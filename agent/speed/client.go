package speed

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer connects to the server.
type Dialer interface {
	DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	DialUDP(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Result is what came of a test.
type Result struct {
	// Bytes arrived within Seconds.
	Bytes   int64
	Seconds float64
	// Loss is the share of datagrams that did not arrive; zero over TCP.
	Loss float64
}

// BitsPerSecond is the rate at which bytes arrived.
func (r Result) BitsPerSecond() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return float64(r.Bytes) * 8 / r.Seconds
}

// Run runs a test against the server at addr. It calls progress, which may be
// nil, with each piece that was sent or, in reverse, received.
func Run(ctx context.Context, d Dialer, addr netip.AddrPort, r Request, progress func(bytes int)) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, fmt.Errorf("speed: %w", err)
	}
	conn, err := d.DialTCP(ctx, addr)
	if err != nil {
		return Result{}, fmt.Errorf("speed: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	got, err := newTest(conn, r, progress).run(ctx, d, addr)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Result{}, fmt.Errorf("speed: test with %v: %w", addr, err)
	}
	return got, nil
}

// test is the client's end of one.
type test struct {
	conn  net.Conn
	in    *bufio.Reader
	r     Request
	meter meter
}

func newTest(conn net.Conn, r Request, progress func(int)) *test {
	return &test{conn: conn, in: bufio.NewReaderSize(conn, maxLine), r: r, meter: meter{count: progress}}
}

func (t *test) run(ctx context.Context, d Dialer, addr netip.AddrPort) (Result, error) {
	if err := t.conn.SetDeadline(time.Now().Add(t.r.duration() + 2*grace)); err != nil {
		return Result{}, err
	}
	if t.r.Datagrams {
		return t.datagrams(ctx, d, addr)
	}
	if err := t.ask(); err != nil {
		return Result{}, err
	}
	if t.r.Reverse {
		if err := receiveStream(t.in, &t.meter); err != nil {
			return Result{}, err
		}
		got := t.meter.total()
		return Result{Bytes: got.Bytes, Seconds: got.Seconds}, nil
	}
	if err := errors.Join(sendStream(t.conn, t.r.duration(), &t.meter), closeWrite(t.conn)); err != nil {
		return Result{}, err
	}
	var got Count
	if err := readLine(t.in, &got); err != nil {
		return Result{}, err
	}
	return Result{Bytes: got.Bytes, Seconds: got.Seconds}, nil
}

// ask sends the request and waits for consent.
func (t *test) ask() error {
	if err := writeLine(t.conn, t.r); err != nil {
		return err
	}
	var a answer
	if err := readLine(t.in, &a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

func (t *test) datagrams(ctx context.Context, d Dialer, addr netip.AddrPort) (Result, error) {
	packets, err := d.DialUDP(ctx, addr)
	if err != nil {
		return Result{}, err
	}
	defer packets.Close()
	local, err := netip.ParseAddrPort(packets.LocalAddr().String())
	if err != nil {
		return Result{}, err
	}
	var number [8]byte
	rand.Read(number[:])
	t.r.Number, t.r.Port = binary.BigEndian.Uint64(number[:]), local.Port()
	if t.r.Reverse {
		// A packet filter lets in answers to what was sent.
		if _, err := packets.Write(number[:]); err != nil {
			return Result{}, err
		}
		return t.countDatagrams(packets)
	}
	if err := t.ask(); err != nil {
		return Result{}, err
	}
	sent, err := sendDatagrams(packets.Write, t.r.Number, t.r.duration(), &t.meter)
	if err != nil {
		return Result{}, err
	}
	if err := writeLine(t.conn, Count{Datagrams: sent}); err != nil {
		return Result{}, err
	}
	var got Count
	if err := readLine(t.in, &got); err != nil {
		return Result{}, err
	}
	return Result{got.Bytes, got.Seconds, lost(sent, got.Datagrams)}, nil
}

// countDatagrams counts what the server sends until it says that it has sent all.
func (t *test) countDatagrams(packets net.Conn) (Result, error) {
	if err := t.ask(); err != nil {
		return Result{}, err
	}
	var arrived int64
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		buf := make([]byte, 2*datagramSize)
		for {
			n, err := packets.Read(buf)
			if err != nil {
				return
			}
			if number, ok := datagramNumber(buf[:n]); ok && number == t.r.Number {
				t.meter.add(n)
				arrived++
			}
		}
	}()
	var sent Count
	err := readLine(t.in, &sent)
	if err == nil {
		<-time.After(drain)
	}
	packets.Close()
	<-counted
	if err != nil {
		return Result{}, err
	}
	got := t.meter.total()
	return Result{got.Bytes, got.Seconds, lost(sent.Datagrams, arrived)}, nil
}

// lost is the share of those sent that did not arrive.
func lost(sent, arrived int64) float64 {
	if sent == 0 {
		return 0
	}
	return max(0, 1-float64(arrived)/float64(sent))
}
