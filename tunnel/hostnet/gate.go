package hostnet

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

const (
	// maxHeld bounds the packets that wait for one peer: the first flight of some
	// connections. What comes after is lost, as on any link that is not up yet.
	maxHeld = 64

	// maxReleased bounds what waits for Read: one that does not read must not fill the
	// memory. Packets that were held are bounded by peer.
	maxReleased = 1024

	// headroom is what a tun.Device may use in front of a packet written to it.
	headroom = 16
)

// Gate is a tun.Device whose packets to peers without a tunnel wait until there is
// one. It asks for tunnels as they are needed, and knows which are not any more.
//
//	closed ──packet, Open──▶ opening ──Opened──▶ open
//	   ▲                        │                 │
//	   └────────Failed──────────┴───────Shut──────┘
//
// What is for an address that is nobody's is answered with an error of ICMP at once.
type Gate struct {
	tun.Device
	// ask is called, without locks, when a tunnel to an address is needed.
	ask func(netip.Addr)

	ipv4 fourth

	last    atomic.Pointer[door] // one of doors, or nil; stored under mu
	echoing atomic.Int32         // how many echoes there are; stored under mu

	mu       sync.Mutex // guards what follows
	doors    map[netip.Addr]*door
	released [][]byte // packets whose peer is open now
	echoes   map[[nonceLen]byte]chan struct{}
}

// door is the way to one peer.
type door struct {
	addr netip.Addr
	open atomic.Bool // set under Gate.mu
	used atomic.Bool // since it was last looked at

	opening bool     // guarded by Gate.mu, as the next
	held    [][]byte // packets that wait
}

// NewGate returns a gate in front of dev that asks for tunnels by ask. The gate
// closes dev. Without a device, the gate only knows which tunnels there are.
func NewGate(dev tun.Device, ask func(netip.Addr)) *Gate {
	return &Gate{Device: dev, ask: ask, doors: make(map[netip.Addr]*door), echoes: make(map[[nonceLen]byte]chan struct{})}
}

// SetPeers replaces the addresses that peers have. Those that stay keep their state.
func (g *Gate) SetPeers(addrs []netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	doors := make(map[netip.Addr]*door, len(addrs))
	for _, a := range addrs {
		if doors[a] = g.doors[a]; doors[a] == nil {
			doors[a] = &door{addr: a}
		}
	}
	g.doors = doors
	g.last.Store(nil)
}

// Open asks for a tunnel to a peer, unless there is one or it is asked for already.
func (g *Gate) Open(addr netip.Addr) {
	g.mu.Lock()
	d := g.doors[addr]
	ask := d != nil && !d.open.Load() && !d.opening
	if ask {
		d.opening = true
	}
	if d != nil {
		d.used.Store(true)
	}
	g.mu.Unlock()
	if ask {
		g.ask(addr)
	}
}

// Opened says that there is a tunnel now. Packets that waited for it go first.
func (g *Gate) Opened(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[addr]
	if d == nil {
		return
	}
	g.released = append(g.released, d.held...)
	d.opening, d.held = false, nil
	d.used.Store(true)
	d.open.Store(true)
	g.wakeLocked()
}

// Failed says that there is none to be had. Who waits for it is told.
func (g *Gate) Failed(addr netip.Addr) {
	g.mu.Lock()
	var held [][]byte
	if d := g.doors[addr]; d != nil {
		held, d.held, d.opening = d.held, nil, false
	}
	g.mu.Unlock()
	for _, packet := range held {
		g.refuse(packet, unreachableAddress)
	}
}

// Shut says that there is no tunnel any more; the next packet asks for one again.
func (g *Gate) Shut(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.doors[addr]; d != nil {
		d.open.Store(false)
		g.last.Store(nil)
	}
}

// Unused returns the open peers that nothing was sent to since it was last called, and
// whether something was to others.
func (g *Gate) Unused() (unused []netip.Addr, others bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a, d := range g.doors {
		switch {
		case !d.open.Load():
		case d.used.Swap(false):
			others = true
		default:
			unused = append(unused, a)
		}
	}
	return unused, others
}

// Send has Read return a packet to a peer that is open, as if this machine had sent it.
func (g *Gate) Send(packet []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.released) < maxReleased {
		g.released = append(g.released, packet)
		g.wakeLocked()
	}
}

// wakeLocked has Read look for released packets. A device without a file cannot be
// woken; there, they go with the next packet that is sent, such as the same again.
func (g *Gate) wakeLocked() {
	if len(g.released) == 0 {
		return
	}
	if f := g.File(); f != nil {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // one that is closed wakes by itself
	}
}

// takeReleased moves released packets into bufs.
func (g *Gate) takeReleased(bufs [][]byte, sizes []int, offset int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for n < len(bufs) && n < len(g.released) {
		sizes[n] = copy(bufs[n][offset:], g.released[n])
		n++
	}
	if g.released = g.released[n:]; len(g.released) == 0 {
		g.released = nil
	}
	return n
}

// Read reads packets whose peers are open. One goroutine may call it.
func (g *Gate) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		if n := g.takeReleased(bufs, sizes, offset); n > 0 {
			return n, nil
		}
		n, err := g.Device.Read(bufs, sizes, offset)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// Before what is released is looked at, so that no later wake is lost.
			if err := g.File().SetReadDeadline(time.Time{}); err != nil {
				return 0, err
			}
			continue
		}
		kept := 0
		for i := range n {
			if sizes[i] > 0 && bufs[i][offset]>>4 == 4 {
				if sizes[i] = g.ipv4.outward(bufs[i][offset:], sizes[i]); sizes[i] == 0 {
					continue
				}
			}
			packet := bufs[i][offset : offset+sizes[i]]
			if !g.admits(packet) {
				continue
			}
			if kept != i { // the buffers themselves must stay where they are
				sizes[kept] = copy(bufs[kept][offset:], packet)
			}
			kept++
		}
		if kept > 0 || err != nil {
			return kept, err
		}
	}
}

// admits reports whether a packet may go on now. Else it is held or answered.
func (g *Gate) admits(packet []byte) bool {
	if len(packet) < ipv6HeaderLen || packet[0]>>4 != 6 {
		return false
	}
	dst := netip.AddrFrom16([16]byte(packet[24:40]))
	if d := g.last.Load(); d != nil && d.addr == dst && d.open.Load() {
		d.use()
		return true
	}
	return g.admitsTo(dst, packet)
}

// use notes that something is sent. Most often it was noted already, and what others
// have in their caches is left alone.
func (d *door) use() {
	if !d.used.Load() {
		d.used.Store(true)
	}
}

func (g *Gate) admitsTo(dst netip.Addr, packet []byte) bool {
	g.mu.Lock()
	d := g.doors[dst]
	switch {
	case d == nil:
		g.mu.Unlock()
		g.refuse(packet, unreachableRoute)
		return false
	case d.open.Load():
		g.last.Store(d)
		g.mu.Unlock()
		d.use()
		return true
	}
	if len(d.held) < maxHeld {
		d.held = append(d.held, bytes.Clone(packet))
	}
	ask := !d.opening
	d.opening = true
	g.mu.Unlock()
	if ask {
		g.ask(dst)
	}
	return false
}

// refuse answers a packet with an error, if one may be answered so.
func (g *Gate) refuse(packet []byte, code byte) {
	if answer := unreachable(packet, code); answer != nil {
		// A full or closed device loses it, as any network may.
		_, _ = g.Write([][]byte{answer}, headroom)
	}
}
