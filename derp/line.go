package derp

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"go4.org/mem"
	"golang.org/x/time/rate"
	"tailscale.com/derp"
	"tailscale.com/disco"
	"tailscale.com/types/key"
)

const (
	// readSize is how much of a busy client is read at once, in bytes.
	readSize = 32 << 10

	// waitSize is what a silent client is read into: the packets of a handshake.
	waitSize = 512

	// pauseMost is how long a line pauses for an outbox that fills: as long as a busy
	// relay takes to write it. Where that is not enough, its client or what leads there
	// is slow, and whoever floods it has 10 MB/s left for others.
	pauseMost = 3 * time.Millisecond

	// frameMost is the longest frame: a packet that is forwarded.
	frameMost = 2*derp.KeyLen + derp.MaxPacketSize

	// pingMost is how long a ping may be, of which eight bytes count.
	pingMost = 1000

	// goneEvery is how often a client is told that somebody is not here that it looks
	// for, and goneBurst how often at once.
	goneEvery = time.Second
	goneBurst = 3
)

// line is a client that was let in, or the way to another relay of the region.
type line struct {
	board   *switchboard
	conn    net.Conn
	room    roomy // of conn; nil if nobody knows
	key     key.NodePublic
	info    derp.ClientInfo
	sibling bool           // has the key of the region's relays
	from    netip.AddrPort // zero if it has no such address
	// onward says that it leads to another relay, which packets are forwarded to.
	onward bool
	out    outbox
	// current says that packets for the key are for this line.
	current atomic.Bool

	// Of the goroutine that reads.
	wait    [waitSize]byte
	last    *line // whom the last packet was for
	to      key.NodePublic
	src     key.NodePublic // of it, who is another where a relay forwards
	routed  uint64         // the board's, from before last was found
	limit   *rate.Limiter  // nil is no limit
	gone    *rate.Limiter  // of telling it that somebody is not here
	full    *outbox        // fills; nil if none does
	packets int64          // read, and not yet counted
	bytes   int64

	alive   time.Time                   // of the board's keepAlive: when it was written to
	home    bool                        // it says that this is its home; set under the board's mu
	sources map[key.NodePublic]struct{} // guarded by the board's mu: whose packets it was sent
}

// errFrame is that a client sent what is none of the protocol's.
var errFrame = errors.New("broken frame")

func newLine(s *switchboard, conn net.Conn, k key.NodePublic, info derp.ClientInfo, from netip.AddrPort) *line {
	l := &line{board: s, conn: conn, room: roomOf(conn), key: k, info: info, from: from, alive: time.Now(), sibling: s.isSibling(info.MeshKey), gone: rate.NewLimiter(rate.Every(goneEvery), goneBurst)}
	l.out.line, l.out.idle.L = l, &l.out.mu
	if s.rate > 0 && !l.sibling {
		l.limit = rate.NewLimiter(rate.Limit(s.rate), max(int(s.rate/burstOf), frameMost))
	}
	return l
}

// roomy is a connection that knows whether a short write would not wait.
type roomy interface{ Roomy() bool }

// roomOf finds it below what is around it; nil if there is none.
func roomOf(conn net.Conn) roomy {
	for {
		switch c := conn.(type) {
		case roomy:
			return c
		case *tls.Conn:
			conn = c.NetConn()
		case *visitor:
			conn = c.Conn
		default:
			return nil
		}
	}
}

// run serves the client until its connection ends. early is what it has sent already.
func (l *line) run(ctx context.Context, early []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.board.add(l)
	l.out.control(nil) // its greeting: it may be sent packets by now
	defer l.out.close()
	defer l.conn.Close()
	defer l.board.remove(l)
	return l.read(ctx, early)
}

// read handles what comes. While nothing does it holds no buffer but its own.
func (l *line) read(ctx context.Context, early []byte) error {
	held, have := l.hold(nil, early)
	defer func() { l.unhold(held) }()
	for {
		// What is left is the beginning of a frame.
		used, err := l.frames(ctx, (*held)[:have])
		if err != nil {
			return err
		}
		have = copy(*held, (*held)[used:have])
		if have == len(*held) {
			held, have = l.hold(held, (*held)[:have])
		}
		if l.full != nil {
			l.full.await(pauseMost) // what its client sends meanwhile would be dropped
			l.full = nil
		}
		if have > 0 {
			n, err := l.conn.Read((*held)[have:])
			if have += n; n == 0 && err != nil {
				return err
			}
			continue
		}
		l.unhold(held)
		held = nil
		n, err := l.conn.Read(l.wait[:])
		if n == 0 && err != nil {
			return err
		}
		held, have = l.hold(nil, l.wait[:n])
	}
}

// hold returns a buffer that begins with data and has room for more, in place of
// another that is full or none.
func (l *line) hold(full *[]byte, data []byte) (*[]byte, int) {
	size := max(readSize, len(data)+1)
	if full != nil { // a frame that is longer
		size = derp.FrameHeaderLen + frameMost
	}
	var held *[]byte
	if size == readSize {
		held = l.board.reads.Get().(*[]byte)
	} else {
		b := make([]byte, size)
		held = &b
	}
	n := copy(*held, data)
	l.unhold(full)
	return held, n
}

func (l *line) unhold(held *[]byte) {
	if held != nil && len(*held) == readSize {
		l.board.reads.Put(held)
	}
}

// frames handles the frames that are whole, and returns how many bytes those are.
func (l *line) frames(ctx context.Context, data []byte) (used int, err error) {
	var open *line // whose outbox is locked
	shut := func() {
		if open != nil && open.out.end() {
			l.full = &open.out
		}
		open = nil
	}
	defer func() {
		shut()
		l.board.counts.receivedPackets.Add(l.packets)
		l.board.counts.receivedBytes.Add(l.bytes)
		l.packets, l.bytes = 0, 0
	}()
	for {
		rest := data[used:]
		if len(rest) < derp.FrameHeaderLen {
			return used, nil
		}
		kind, size := derp.FrameType(rest[0]), int(binary.BigEndian.Uint32(rest[1:]))
		if size > frameMost {
			return used, fmt.Errorf("%w: %d bytes", errFrame, size)
		}
		if len(rest) < derp.FrameHeaderLen+size {
			return used, nil
		}
		if l.limit != nil {
			if delay := l.limit.ReserveN(time.Now(), min(size, l.limit.Burst())).Delay(); delay > 0 {
				shut()
				select {
				case <-time.After(delay):
				case <-ctx.Done():
					return used, context.Cause(ctx)
				}
			}
		}
		if !l.current.Load() {
			shut()
			l.board.prefer(l)
		}
		body := rest[derp.FrameHeaderLen : derp.FrameHeaderLen+size]
		used += derp.FrameHeaderLen + size
		forwarded := kind == derp.FrameForwardPacket && l.sibling
		if kind != derp.FrameSendPacket && !forwarded {
			shut()
			if err := l.frame(kind, body); err != nil {
				return used, err
			}
			continue
		}
		src, packet := l.key, body
		if forwarded && len(body) >= derp.KeyLen {
			src, packet = key.NodePublicFromRaw32(mem.B(body[:derp.KeyLen])), body[derp.KeyLen:]
		}
		if len(packet) < derp.KeyLen || len(packet) > derp.KeyLen+derp.MaxPacketSize {
			return used, fmt.Errorf("%w: a packet of %d bytes", errFrame, len(body))
		}
		payload := packet[derp.KeyLen:]
		l.packets++
		l.bytes += int64(len(payload))
		if to := key.NodePublicFromRaw32(mem.B(packet[:derp.KeyLen])); !l.goesOn(src, to) {
			shut()
			if l.find(src, to, forwarded); l.last == nil {
				reason := droppedUnknown
				if forwarded {
					reason = droppedUnknownForwarded
				}
				l.nobody(to, payload, reason)
				continue
			}
		}
		if open == nil {
			open = l.last
			open.out.open(l)
		}
		if reason := open.out.packet(src, l.to, payload); reason != delivered {
			l.board.counts.dropped[reason].Inc()
		}
	}
}

// goesOn reports whether a packet is to go where the last one went.
func (l *line) goesOn(src, to key.NodePublic) bool {
	return l.last != nil && to == l.to && src == l.src && l.last.current.Load() &&
		(!l.last.onward || l.routed == l.board.routed.Load()) // it may be here by now
}

// find notes who is to get a packet, if anybody is: what was forwarded once is not again.
func (l *line) find(src, to key.NodePublic, forwarded bool) {
	if forwarded {
		l.board.cameBy(src, l.key)
	}
	l.routed, l.src, l.to = l.board.routed.Load(), src, to
	l.last = l.board.find(to)
	switch {
	case l.last == nil:
	case !l.last.onward:
		l.board.hear(src, l.last)
	case forwarded:
		l.last = nil
	}
}

// nobody drops a packet for somebody unknown, and says so to who looks for a path.
func (l *line) nobody(to key.NodePublic, payload []byte, reason dropReason) {
	l.board.counts.dropped[reason].Inc()
	if disco.LooksLikeDiscoWrapper(payload) && l.gone.Allow() {
		l.out.control(goneFrame(to, derp.PeerGoneReasonNotHere))
	}
}

// frame handles a frame that is no packet.
func (l *line) frame(kind derp.FrameType, body []byte) error {
	switch kind {
	case derp.FrameNotePreferred:
		if len(body) != 1 {
			return fmt.Errorf("%w: a preference of %d bytes", errFrame, len(body))
		}
		l.board.setHome(l, body[0] != 0)
	case derp.FramePing:
		if len(body) < 8 || len(body) > pingMost {
			return fmt.Errorf("%w: a ping of %d bytes", errFrame, len(body))
		}
		l.out.pong(frame(derp.FramePong, body[:8]))
	case derp.FrameWatchConns, derp.FrameForwardPacket, derp.FrameClosePeer:
		return l.siblingFrame(kind, body)
	case derp.FramePong:
	default:
		l.board.counts.unknownFrames.Add(1)
	}
	return nil
}

// siblingFrame handles what only relays of the region may send.
func (l *line) siblingFrame(kind derp.FrameType, body []byte) error {
	if !l.sibling {
		return fmt.Errorf("%w: it is for the region's relays", errFrame)
	}
	switch {
	case kind == derp.FrameWatchConns && len(body) == 0:
		l.board.addWatch(l)
	case kind == derp.FrameClosePeer && len(body) == derp.KeyLen:
		l.board.disconnect(key.NodePublicFromRaw32(mem.B(body)))
	default:
		return fmt.Errorf("%w: kind %d of %d bytes", errFrame, kind, len(body))
	}
	return nil
}

// expected reports whether a connection may end so.
func expected(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}
