package tunnel

import (
	"sync"
	"sync/atomic"
	"time"
)

// Between the point where a packet enters the WireGuard device and the one where
// it leaves, the device's queues hold a thousand batches, in buffers of 64 KiB
// each: a sender that is faster than the ciphers fills them with hundreds of
// megabytes and with a delay that nobody manages. A meter at each end keeps that
// short. What has to wait does so in the kernel: in the interface's queue, which
// may be a fair one, or in the socket's buffer.

const (
	// maxOutbound and maxInbound are how many packets may be under way inside
	// the device: enough for each core to have a batch in hand and one waiting.
	maxOutbound = 256
	maxInbound  = 512

	// meterPatience is how long a meter waits for any packet to leave before it
	// takes all for dropped inside: as copies, or for lack of a session. While some
	// leave, however slowly, the others are taken to be under way: a machine that is
	// busy with something else would fill its memory with them.
	meterPatience = 50 * time.Millisecond
)

// meter bounds how many packets are under way between two points. Its methods
// may be called concurrently.
type meter struct {
	most     int64
	underWay atomic.Int64
	lastAt   atomic.Int64 // when enter or leave was last called, since epoch
	epoch    time.Time
	waiters  atomic.Int32
	room     chan struct{} // holds a token when there is room for a waiter
	timers   sync.Pool     // of *time.Timer
}

func newMeter(most int64) *meter {
	return &meter{
		most: most, epoch: time.Now(), room: make(chan struct{}, 1),
		timers: sync.Pool{New: func() any { return time.NewTimer(time.Hour) }},
	}
}

// enter notes that n packets came in. Before, it waits while that would be too
// many: until half have left, so that whoever waits does so seldom.
func (m *meter) enter(n int) {
	if n == 0 {
		return
	}
	if m.idleFor() >= meterPatience {
		m.underWay.Store(0)
	}
	m.note()
	if m.underWay.Load()+int64(n) > m.most {
		m.wait()
	}
	m.underWay.Add(int64(n))
}

// note has idleFor begin anew.
func (m *meter) note() { m.lastAt.Store(int64(time.Since(m.epoch))) }

// idleFor is for how long nothing has entered or left.
func (m *meter) idleFor() time.Duration {
	return time.Since(m.epoch) - time.Duration(m.lastAt.Load())
}

func (m *meter) wait() {
	m.waiters.Add(1)
	timer := m.timers.Get().(*time.Timer)
	for m.underWay.Load() > m.most/2 {
		timer.Reset(meterPatience - m.idleFor())
		select {
		case <-m.room:
		case <-timer.C:
			if m.idleFor() >= meterPatience {
				m.underWay.Store(0)
			}
		}
	}
	timer.Stop()
	m.timers.Put(timer)
	m.waiters.Add(-1)
	m.signal() // there may be room for another waiter, too
}

// leave notes that n packets went out.
func (m *meter) leave(n int) {
	m.note()
	left := m.underWay.Add(-int64(n))
	if left < 0 {
		// The device sends packets of its own, and what was given up may leave
		// after all.
		m.underWay.CompareAndSwap(left, 0)
	}
	if left <= m.most/2 {
		m.signal()
	}
}

func (m *meter) signal() {
	if m.waiters.Load() == 0 {
		return
	}
	select {
	case m.room <- struct{}{}:
	default:
	}
}
