package netstack

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// line is a long way in one direction. Packets wait for it in a queue, and those
// that find it full are dropped, as is what drop says.
type line struct {
	delay, queue time.Duration
	rate         int64 // bits a second
	drop         func(packet []byte) bool
	lost         atomic.Int64
}

// inTransit is a packet and when it arrives, with room for what a device wants
// before it.
type inTransit struct {
	due  time.Time
	data []byte
}

const lineRoom = 16

func (l *line) carry(from, to tun.Device) {
	const most = 1 << 15
	way := make(chan inTransit, most)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due)) // the line's delay is what is simulated
			_, _ = to.Write([][]byte{p.data}, lineRoom)
		}
	}()
	defer close(way)
	bufs, sizes := make([][]byte, batch), make([]int, batch)
	for i := range bufs {
		bufs[i] = make([]byte, superSize+lineRoom)
	}
	var free time.Time // when the line is
	for {
		n, err := from.Read(bufs, sizes, lineRoom)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		for i := range n {
			p := bufs[i][:lineRoom+sizes[i]]
			if free.Sub(now) > l.queue || l.drop != nil && l.drop(p[lineRoom:]) {
				l.lost.Add(1)
				continue
			}
			const bits = 8
			free = free.Add(time.Duration(int64(sizes[i]) * bits * int64(time.Second) / l.rate))
			way <- inTransit{free.Add(l.delay), append([]byte(nil), p...)}
		}
	}
}

const (
	longDelay = 30 * time.Millisecond
	longRate  = 50_000_000
)

// unbounded is a stack whose connections may have any number of bytes under way.
type unbounded struct{ *Stack }

func (u unbounded) Write(bufs [][]byte, offset int) (int, error) {
	for i := range bufs {
		_, payload := run(bufs[i:i+1], offset)
		pkt := join(bufs[i:i+1], offset, payload)
		u.link.deliver(pkt)
		pkt.DecRef()
	}
	return len(bufs), nil
}

// bounded is a stack as it is.
func bounded(s *Stack) tun.Device { return s }

// bulk sends over a long way for as long as lasts, and returns what arrived in each
// tenth of a second and the sending stack, which receives as the device that as makes
// of it.
func bulk(t *testing.T, recovery tcpip.TCPRecovery, as func(*Stack) tun.Device, up *line, lasts time.Duration) (tenths []int64, from *Stack) {
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
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &recovery); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stacks[i] = s
	}
	down := &line{delay: up.delay, queue: up.queue, rate: up.rate}
	go up.carry(stacks[0], stacks[1])
	go down.carry(stacks[1], as(stacks[0]))
	l, err := stacks[1].ListenTCP(9)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var came atomic.Int64
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		for buf := make([]byte, 1<<16); ; {
			n, err := c.Read(buf)
			came.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	c, err := stacks[0].DialTCP(testContext(t), netip.AddrPortFrom(right, 9))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for buf := make([]byte, 1<<16); ; {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	const step = 100 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	for last := int64(0); len(tenths) < int(lasts/step); {
		<-tick.C
		now := came.Load()
		tenths = append(tenths, now-last)
		last = now
	}
	return tenths, stacks[0]
}

// mbits is what arrived between two times, in Mbit/s.
func mbits(tenths []int64, from, to time.Duration) float64 {
	const step = 100 * time.Millisecond
	sum := int64(0)
	for _, n := range tenths[from/step : to/step] {
		sum += n
	}
	return float64(sum) * 8 / 1e6 / (to - from).Seconds()
}

// A connection finds what a long way carries without sending far more: what is lost
// on the way is a fraction of what it is for a connection without a bound.
func TestALongWayIsFilledWithoutFlooding(t *testing.T) {
	const rate, fraction = 200_000_000, 4
	var lost [2]int64
	for i, as := range []func(*Stack) tun.Device{bounded, func(s *Stack) tun.Device { return unbounded{s} }} {
		up := &line{delay: longDelay, queue: 50 * time.Millisecond, rate: rate}
		tenths, s := bulk(t, 0, as, up, 4*time.Second)
		lost[i] = up.lost.Load()
		t.Logf("%.0f Mbit/s of %d after a second, %d packets lost, %d time-outs",
			mbits(tenths, time.Second, 4*time.Second), rate/1_000_000, lost[i], s.stack.Stats().TCP.Timeouts.Value())
	}
	if lost[0] > lost[1]/fraction {
		t.Errorf("%d packets lost, %d without the bound, want at most a quarter", lost[0], lost[1])
	}
}

// After a gap, a transfer goes on as soon as TCP sends again, and soon as fast as before,
// however many time-outs the gap took.
func TestTransfersSurviveAnOutage(t *testing.T) {
	const fails, recovers, looked = 2 * time.Second, 1750 * time.Millisecond, 2 * time.Second
	for _, gap := range []time.Duration{250 * time.Millisecond, 800 * time.Millisecond, 4 * time.Second} {
		t.Run(gap.String(), func(t *testing.T) {
			heals := fails + gap
			began := time.Now()
			up := &line{delay: longDelay, queue: 50 * time.Millisecond, rate: longRate, drop: func([]byte) bool {
				at := time.Since(began)
				return at > fails && at < heals
			}}
			tenths, s := bulk(t, 0, bounded, up, heals+recovers+looked)
			before, rate := mbits(tenths, time.Second, fails), mbits(tenths, heals+recovers, heals+recovers+looked)
			t.Logf("%.1f Mbit/s before, %.1f after, %d time-outs", before, rate, s.stack.Stats().TCP.Timeouts.Value())
			if least := before / 4; rate < least {
				t.Errorf("%.1f Mbit/s, %v after an outage, want at least %.1f", rate, recovers, least)
			}
		})
	}
}

// A packet that is lost twice costs a time-out, and then the connection goes on. With RACK,
// which is why it is off, what is sent again after a time-out makes all that was sent before
// count as lost, and the connection stands still for good in one run of three. A log that
// shows as much with it as without says that it could be on.
func TestTransfersSurviveALostRepetition(t *testing.T) {
	const ends = 5 * time.Second
	for _, of := range []struct {
		name     string
		recovery tcpip.TCPRecovery
	}{{"as it is", 0}, {"with RACK", tcpip.TCPRACKLossDetection}} {
		t.Run(of.name, func(t *testing.T) {
			const victim, times = 4000, 2
			var seq uint32
			packets, dropped := 0, 0
			began, lostAt := time.Now(), ends
			up := &line{delay: longDelay, queue: 50 * time.Millisecond, rate: longRate, drop: func(p []byte) bool {
				if p[ipNextAt] != uint8(tcp.ProtocolNumber) || len(p) < 1000 {
					return false
				}
				packets++
				at := binary.BigEndian.Uint32(p[ipv6Len+seqAt:])
				if packets == victim {
					seq = at
				}
				if seq == 0 || at != seq || dropped == times {
					return false
				}
				dropped++
				lostAt = min(lostAt, time.Since(began))
				return true
			}}
			tenths, s := bulk(t, of.recovery, bounded, up, ends)
			before, rate := mbits(tenths, lostAt-500*time.Millisecond, lostAt), mbits(tenths, ends-2*time.Second, ends)
			timeouts := s.stack.Stats().TCP.Timeouts.Value()
			t.Logf("%.1f Mbit/s before it, %.1f after, %d time-outs, dropped %d times", before, rate, timeouts, dropped)
			if least := before / 4; of.recovery == 0 && rate < least {
				t.Errorf("%.1f Mbit/s, want at least %.1f", rate, least)
			}
		})
	}
}
