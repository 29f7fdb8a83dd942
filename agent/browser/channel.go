package browser

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/pion/webrtc/v4"

	"github.com/aditmesh/adit/pkg/terminal"
)

const (
	// maxUnread is how many messages of a page may wait: what it sends is taken as it
	// comes, and waits in the terminal's own queue.
	maxUnread = 1024

	// maxUnreadBytes bounds what they hold: a page keeps to the window of what it sends.
	maxUnreadBytes = 2 * terminal.Window

	// flushTimeout is how long what was said last may take to go.
	flushTimeout = 2 * time.Second
)

var (
	errLeft     = errors.New("browser: the page closed the channel")
	errTooMuch  = errors.New("browser: the page sends faster than it may")
	errNotReady = errors.New("browser: the channel is closed")
)

// channel carries a terminal's messages over a data channel.
type channel struct {
	dc     *webrtc.DataChannel
	id     string
	in     chan webrtc.DataChannelMessage
	over   chan struct{}
	why    atomic.Pointer[error]
	rx, tx atomic.Int64
	unread atomic.Int64 // bytes in in
}

func newChannel(dc *webrtc.DataChannel) *channel {
	c := &channel{dc: dc, id: uuid.NewString(), in: make(chan webrtc.DataChannelMessage, maxUnread), over: make(chan struct{})}
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if c.unread.Add(int64(len(m.Data))) > maxUnreadBytes {
			c.end(errTooMuch)
			return
		}
		select {
		case c.in <- m:
		default:
			c.end(errTooMuch)
		}
	})
	dc.OnClose(func() { c.end(errLeft) })
	return c
}

// end has Read return an error once it has returned what came before.
func (c *channel) end(err error) {
	if c.why.CompareAndSwap(nil, &err) {
		close(c.over)
	}
}

// Read returns the next message. What came before the page left comes before that.
func (c *channel) Read(ctx context.Context) (text bool, p []byte, err error) {
	select {
	case m := <-c.in:
		return c.took(m)
	default:
	}
	select {
	case m := <-c.in:
		return c.took(m)
	case <-c.over:
		return false, nil, *c.why.Load()
	case <-ctx.Done():
		return false, nil, context.Cause(ctx)
	}
}

func (c *channel) took(m webrtc.DataChannelMessage) (text bool, p []byte, err error) {
	c.unread.Add(-int64(len(m.Data)))
	if !m.IsString {
		c.rx.Add(int64(len(m.Data)))
	}
	return m.IsString, m.Data, nil
}

// Write sends a message. How much may be under way is the terminal's to bound.
func (c *channel) Write(_ context.Context, text bool, p []byte) error {
	if c.dc.ReadyState() != webrtc.DataChannelStateOpen {
		return errNotReady
	}
	if text {
		return c.dc.SendText(string(p))
	}
	c.tx.Add(int64(len(p)))
	return c.dc.Send(p)
}

// flush waits until what was sent is on its way, or the page has left.
func (c *channel) flush(ctx context.Context) {
	timeout := time.NewTimer(flushTimeout)
	defer timeout.Stop()
	low := make(chan struct{}, 1)
	c.dc.OnBufferedAmountLow(func() {
		select {
		case low <- struct{}{}:
		default:
		}
	})
	if c.dc.BufferedAmount() == 0 {
		return
	}
	select {
	case <-low:
	case <-c.over:
	case <-timeout.C:
	case <-ctx.Done():
	}
}

// addrOf reads an address as the network library has it.
func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip) // what is none is in no prefix
	return a.Unmap()
}
