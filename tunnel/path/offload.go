package path

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tailscale.com/net/neterror"
)

// Linux joins datagrams to one peer into one that it takes apart as late as the
// network card, and the other way round on the way in (UDP_SEGMENT, UDP_GRO).
// That is worth a factor of several, and some kernels, drivers and cards get it
// wrong: such packets vanish or arrive garbled. So it is tried on loopback before
// it is used; it is switched off for a while when large packets are lost on the
// way out; and both ends switch it off when what comes does not open.

const (
	// offloadRest is how long sockets do without after a first suspicion; it
	// doubles with each. The network may have been at fault, so it is tried again.
	offloadRest = 10 * time.Minute
	// offloadRestMost bounds that.
	offloadRestMost = 24 * time.Hour

	// selfTestPatience is how long a datagram may take over loopback. It takes
	// microseconds, unless the machine is overloaded.
	selfTestPatience = 250 * time.Millisecond
)

// offload says whether the sockets may join and split datagrams. The zero value
// is that they may.
type offload struct {
	// off is what new sockets go by.
	off atomic.Bool
	// never is a decision for good.
	never bool

	mu    sync.Mutex // guards what follows
	until time.Time  // off until then; the zero time while on
	times int        // how often it was suspected
}

// suspend switches off for a while; false if it is off already.
func (o *offload) suspend(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.off.Load() {
		return false
	}
	o.until = now.Add(min(offloadRest<<min(o.times, 16), offloadRestMost))
	o.times++
	o.off.Store(true)
	return true
}

// resume switches on again when the time has come, and reports whether.
func (o *offload) resume(now time.Time) bool {
	if !o.off.Load() || o.never {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.off.Load() || now.Before(o.until) {
		return false
	}
	o.off.Store(false)
	return true
}

// setUpOffload decides whether sockets begin with offload.
func (b *Bind) setUpOffload() {
	if b.cfg.NoUDPOffload || b.cfg.RelayOnly {
		b.offload.never = true
		b.offload.off.Store(true)
		return
	}
	for _, network := range []string{"udp4", "udp6"} {
		if err := testOffload(network, nil); err != nil {
			b.log.Warn("packets are sent one by one: the kernel does not join and split them right", "network", network, "err", err)
			b.offload.never = true
			b.offload.off.Store(true)
			return
		}
	}
}

// suspectOffload has packets joined and split here from now on: the network card,
// or what stands for one, may garble them.
func (b *Bind) suspectOffload(p *Peer, why string) {
	if b.offload.suspend(time.Now()) {
		b.log.Info("packets are sent one by one for a while", "why", why, "peer", p.key.ShortString())
		b.applyOffload()
	}
}

// resumeOffload ends what suspectOffload began, when its time is over.
func (b *Bind) resumeOffload(now time.Time) {
	if b.offload.resume(now) {
		b.applyOffload()
	}
}

func (b *Bind) applyOffload() {
	if s := b.socks.Load(); s != nil {
		for _, sock := range []*socket{s.v4, s.v6} {
			if sock != nil {
				sock.setOffload(!b.offload.off.Load())
			}
		}
	}
}

// errGarbled is what testOffload finds wrong.
var errGarbled = errors.New("what arrives is not what was sent")

// testOffload sends joined datagrams over loopback, to a socket that takes them
// apart and to one for which the kernel has to. It returns nil where that cannot
// be tried. Before the test, hook may change the sending socket.
func testOffload(network string, hook func(*socket)) error {
	loopback := netip.MustParseAddr("127.0.0.1")
	if network == "udp6" {
		loopback = netip.IPv6Loopback()
	}
	open := func(joins bool) (*socket, error) {
		uc, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			return nil, err
		}
		return newSocket(uc, network, joins), nil
	}
	from, err := open(true)
	if err != nil {
		return nil // no such family here
	}
	defer from.close()
	if from.joined == nil {
		return nil // nobody joins
	}
	if hook != nil {
		hook(from)
	}
	for _, joins := range []bool{true, false} {
		to, err := open(joins)
		if err != nil {
			return nil
		}
		err = tryOffload(from, to, loopback)
		to.close()
		if err != nil {
			return fmt.Errorf("joined datagrams over loopback: %w", err)
		}
	}
	return nil
}

// tryOffload sends a batch from one socket to another and compares.
func tryOffload(from, to *socket, loopback netip.Addr) error {
	const datagrams, size, lastSize = 9, 1200, 700
	sent := make([][]byte, datagrams)
	for i := range sent {
		sent[i] = bytes.Repeat([]byte{byte(i + 1)}, size)
	}
	sent[datagrams-1] = sent[datagrams-1][:lastSize]
	if err := from.writeBatch(sent, netip.AddrPortFrom(loopback, to.port())); err != nil {
		return nil // no route to ourselves: there is nothing to be learnt
	}
	if !from.joins() {
		return errors.New("the kernel refuses them")
	}
	if err := to.conn.SetReadDeadline(time.Now().Add(selfTestPatience)); err != nil {
		return nil
	}
	bufs := make([][]byte, 2*datagrams)
	for i := range bufs {
		bufs[i] = make([]byte, datagrams*size)
	}
	for got := 0; got < datagrams; {
		wrong := false
		_, err := to.read(bufs, func(i, n int, _ netip.AddrPort) {
			if n == 0 || got == datagrams {
				return
			}
			wrong = wrong || !bytes.Equal(bufs[i][:n], sent[got])
			got++
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("%w: %d of %d", errGarbled, got, datagrams)
		case err != nil:
			return nil
		case wrong:
			return errGarbled
		}
	}
	return nil
}

// offloadRefused reports whether err says that the kernel refused joined datagrams,
// and returns what became of sending them one by one.
func offloadRefused(err error) (refused bool, rest error) {
	if err == nil {
		return false, nil
	}
	var off neterror.ErrUDPGSODisabled
	if errors.As(err, &off) {
		return true, off.RetryErr
	}
	return false, err
}

const (
	// garbledMin is how many large packets a judgement needs.
	garbledMin = 8
	// garbledOver is how long a packet may take through the device, and how long
	// the watch lasts at least.
	garbledOver = 300 * time.Millisecond
	// garbledPart of the large packets must not open: less than what is lost of a
	// trickle, which goes one by one for the most part, and more than none, which
	// is what a link whose checksums are looked at garbles.
	garbledPart = 8
	// garbledWithin is how long a watch lasts at most. A trickle of 20 packets a
	// second is found out in two seconds; what is garbled from some time on must
	// not hide among what came before.
	garbledWithin = 3 * time.Second
)

// integrity compares the large packets that came from a peer with those that
// WireGuard opened.
type integrity struct {
	since        time.Time
	came, opened uint32
	// last is what had come at lastAt. A little later it must be through the
	// device.
	last   uint32
	lastAt time.Time
}

// judge takes both counts in. It reports whether a part of what came of late did not
// open; decided is false while too little came to tell.
func (i *integrity) judge(now time.Time, came, opened uint32) (garbled, decided bool) {
	if i.since.IsZero() {
		*i = integrity{now, came, opened, came, now}
		return false, false
	}
	if now.Sub(i.lastAt) < garbledOver {
		return false, false
	}
	through := i.last - i.came
	switch {
	case through < garbledMin:
	case opened-i.opened < through-through/garbledPart:
		*i = integrity{now, came, opened, came, now}
		return true, true
	case came-i.last <= through/garbledPart || now.Sub(i.since) >= garbledWithin:
		*i = integrity{now, came, opened, came, now}
		return false, true
	}
	// Of what came since, as much may have been opened as was not before.
	i.last, i.lastAt = came, now
	return false, false
}

// checkIntegrity has both ends do without offload when what comes from p does not
// open: this one now, and p when the next pong says so.
func (b *Bind) checkIntegrity(p *Peer, now time.Time) {
	opened := p.opened.load()
	came := p.received.load().large + p.mangled.Load()
	p.mu.Lock()
	garbled, decided := p.integrity.judge(now, came, opened.large)
	p.mu.Unlock()
	if !decided || opened.packets == 0 {
		return // for one, nobody may count
	}
	p.garbled.Store(garbled)
	if garbled {
		b.suspectOffload(p, "large ones arrive garbled")
	}
}

// NoteOpened tells that WireGuard opened so many packets of the peer, large ones
// among them. Bind compares that with what came; if it is never called, it does not.
func (p *Peer) NoteOpened(packets, large int) {
	p.opened.add(counters{uint32(packets), uint32(large)})
}

// IsLarge reports whether a packet of size bytes inside the tunnel is a large one
// outside.
func IsLarge(size int) bool {
	return (size+wgPadding-1)/wgPadding*wgPadding+wgOverhead > largePacket
}
