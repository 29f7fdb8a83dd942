package role

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Ports that every end serves, on its own network stack.
const (
	discardPort = 5001 // TCP: reads to the end, and says how many bytes came
	countPort   = 5002 // UDP: counts datagrams, by session
	echoPort    = 5003 // UDP: sends them back
)

// Network is a stack that traffic is sent through: the kernel's, or one in the
// process.
type Network interface {
	DialTCP(ctx context.Context, to string) (net.Conn, error)
	DialUDP(ctx context.Context, to string) (net.Conn, error)
	ListenTCP(port uint16) (net.Listener, error)
	ListenUDP(port uint16) (net.PacketConn, error)
}

// Traffic is the programs that run on a network, at either end.
type Traffic struct {
	net      Network
	received [Sessions]atomic.Int64 // datagrams, by session
	path     func(to string) (kind string, mtu int)
}

// NewTraffic makes what sends and receives by a network; path says how packets
// travel to a peer, and is nil where nobody knows.
func NewTraffic(n Network, path func(to string) (kind string, mtu int)) *Traffic {
	return &Traffic{net: n, path: path}
}

// Sessions is how many UDP trials a process may see; each has a number, so that
// what comes late does not count for the next.
const Sessions = 1 << 10

// Serve serves the three ports until the process ends.
func (t *Traffic) Serve() error {
	l, err := t.net.ListenTCP(discardPort)
	if err != nil {
		return err
	}
	counted, err := t.net.ListenUDP(countPort)
	if err != nil {
		return err
	}
	echoed, err := t.net.ListenUDP(echoPort)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go discard(conn)
		}
	}()
	go t.count(counted)
	go echo(echoed)
	return nil
}

func discard(conn net.Conn) {
	defer conn.Close()
	// Only Read: the point is to measure the stack, not splice.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, bufferSize))
	if err != nil {
		return
	}
	_ = binary.Write(conn, binary.BigEndian, n) // the far end notices
}

func (t *Traffic) count(conn net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n >= 8 {
			t.received[binary.BigEndian.Uint64(buf)%Sessions].Add(1)
		}
	}
}

func echo(conn net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(buf[:n], from) // a lost echo is seen at the other end
	}
}

// Answer answers requests until there are no more.
func (t *Traffic) Answer(ctx context.Context, v *Voice) error {
	for {
		r, err := v.Listen()
		if err != nil {
			return err
		}
		got, err := t.do(ctx, r)
		if err != nil {
			got.Error = err.Error()
		}
		if err := v.Say(got); err != nil {
			return err
		}
	}
}

func (t *Traffic) do(ctx context.Context, r Request) (Reply, error) {
	switch r.Do {
	case "stream":
		return t.stream(ctx, r)
	case "send":
		return t.send(ctx, r)
	case "received":
		return Reply{Packets: t.received[r.Session%Sessions].Load()}, nil
	case "echo":
		return t.echoes(ctx, r)
	case "path":
		if t.path == nil {
			return Reply{}, errors.New("this role knows no paths")
		}
		kind, mtu := t.path(r.To)
		return Reply{Path: kind, MTU: mtu}, nil
	}
	return Reply{}, fmt.Errorf("nobody knows how to %q", r.Do)
}

const bufferSize = 128 << 10

// stream sends as much as it can over a number of TCP connections. What counts
// is what arrived.
func (t *Traffic) stream(ctx context.Context, r Request) (Reply, error) {
	var sum atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, r.Streams)
	begin := time.Now()
	for i := range r.Streams {
		wg.Go(func() {
			n, err := t.streamOne(ctx, r.To, begin.Add(r.Lasts))
			sum.Add(n)
			errs[i] = err
		})
	}
	wg.Wait()
	return Reply{Bytes: sum.Load(), Seconds: time.Since(begin).Seconds()}, errors.Join(errs...)
}

func (t *Traffic) streamOne(ctx context.Context, host string, until time.Time) (arrived int64, err error) {
	conn, err := t.net.DialTCP(ctx, net.JoinHostPort(host, fmt.Sprint(discardPort)))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	buf := make([]byte, bufferSize)
	for time.Now().Before(until) {
		if _, err := conn.Write(buf); err != nil {
			return 0, err
		}
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return 0, err
	}
	err = binary.Read(conn, binary.BigEndian, &arrived)
	return arrived, err
}

// pace is how often a sender wakes up to send what is due by then.
const pace = 200 * time.Microsecond

// datagramSize is that of the UDP payloads sent.
const datagramSize = 64

// send sends datagrams at a steady rate.
func (t *Traffic) send(ctx context.Context, r Request) (Reply, error) {
	conn, err := t.net.DialUDP(ctx, net.JoinHostPort(r.To, fmt.Sprint(countPort)))
	if err != nil {
		return Reply{}, err
	}
	defer conn.Close()
	buf := make([]byte, datagramSize)
	binary.BigEndian.PutUint64(buf, r.Session)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var sent int64
	begin := time.Now()
	for at := begin; at.Sub(begin) < r.Lasts; at = <-tick.C {
		// After a pause not all at once: no link could take it.
		due := min(int64(time.Since(begin).Seconds()*float64(r.Rate)), sent+int64(4*pace.Seconds()*float64(r.Rate))+1)
		for ; sent < due; sent++ {
			if _, err := conn.Write(buf); err != nil {
				return Reply{}, err
			}
		}
	}
	return Reply{Packets: sent, Seconds: time.Since(begin).Seconds()}, nil
}

// echoes measures round trips, one at a time.
func (t *Traffic) echoes(ctx context.Context, r Request) (Reply, error) {
	conn, err := t.net.DialUDP(ctx, net.JoinHostPort(r.To, fmt.Sprint(echoPort)))
	if err != nil {
		return Reply{}, err
	}
	defer conn.Close()
	var got Reply
	out, in := make([]byte, datagramSize), make([]byte, datagramSize)
	tick := time.NewTicker(r.Interval)
	defer tick.Stop()
	for i := range r.Count {
		binary.BigEndian.PutUint64(out, uint64(i))
		begin := time.Now()
		if _, err := conn.Write(out); err != nil {
			return Reply{}, err
		}
		for {
			if err := conn.SetReadDeadline(begin.Add(time.Second)); err != nil {
				return Reply{}, err
			}
			n, err := conn.Read(in)
			if err != nil {
				break // lost
			}
			if n == datagramSize && binary.BigEndian.Uint64(in) == uint64(i) {
				got.RTTs = append(got.RTTs, time.Since(begin))
				break
			}
		}
		<-tick.C
	}
	return got, nil
}
