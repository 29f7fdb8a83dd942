package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"tailscale.com/net/packet"
	"tailscale.com/types/ipproto"
)

// A packet that the policy does not admit is answered by its receiver with an error of
// ICMP, so that whoever sent it hears at once and does not wait for nothing. The sender's
// node notes it, too, and says so in the peer's verdict. A connection of TCP that was
// admitted before, and is no longer, is reset at both ends.

// ErrDenied is an answer of a peer's node: its policy does not admit what was sent.
var ErrDenied = errors.New("denied by the policy")

const (
	// deniedFor is how long a denial is told of.
	deniedFor = time.Minute

	// A node answers at most so many packets that it does not admit, in a second and at
	// once, as RFC 4443, section 2.4 (f) asks: enough for people, too little for a flood.
	refusalsPerSecond, refusalsAtOnce = 20, 50

	typeUnreachable, codeProhibited = 1, 1
)

// sender is a tun.Device that can have Read return a packet as if this machine's network
// stack had sent it.
type sender interface{ Send(packet []byte) }

// refuser answers packets that are not admitted. A nil one does not.
type refuser struct {
	by    sender
	limit *rate.Limiter
}

func newRefuser(by sender) *refuser {
	return &refuser{by, rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)}
}

// refuse answers a packet to this node, if that may be answered.
func (r *refuser) refuse(packet []byte) {
	if r == nil || !r.limit.Allow() {
		return
	}
	if answer := icmpError(packet, typeUnreachable, codeProhibited, 0); answer != nil {
		r.by.Send(answer[deviceOffset:])
	}
	// To a connection that is open the error is a hint, and some stacks take it as no more by
	// one that is not.
	if answer := resetOf(packet); answer != nil {
		r.by.Send(answer)
	}
}

// denial is what a peer has not admitted, and when.
type denial struct {
	at   time.Time
	what string
}

// denials are what peers have not admitted of late. The zero value is ready for use, its
// methods may be called concurrently.
type denials struct {
	mu      sync.Mutex // guards what follows
	last    map[netip.Addr]denial
	waiting map[netip.Addr]map[*func()]bool
}

// note takes a packet from a peer, and notes what it says was denied, if it does.
func (d *denials) note(p *packet.Parsed) {
	if p.IPProto != ipproto.ICMPv6 {
		return
	}
	const quoted = ipv6HeaderLen + 8
	b := p.Buffer()
	if len(b) < quoted+ipv6HeaderLen || b[ipv6HeaderLen] != typeUnreachable || b[ipv6HeaderLen+1] != codeProhibited {
		return
	}
	peer := p.Src.Addr()
	sent := b[quoted:]
	if netip.AddrFrom16([16]byte(sent[24:40])) != peer { // it may speak for itself alone
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		d.last = make(map[netip.Addr]denial)
	}
	d.last[peer] = denial{time.Now(), describeSent(sent)}
	for tell := range d.waiting[peer] {
		(*tell)()
	}
	delete(d.waiting, peer)
}

// describeSent says what a packet is, for people.
func describeSent(p []byte) string {
	port := func() uint16 {
		if len(p) < ipv6HeaderLen+4 {
			return 0
		}
		return binary.BigEndian.Uint16(p[ipv6HeaderLen+2:])
	}
	switch ipproto.Proto(p[6]) {
	case ipproto.TCP:
		return tcpPort(port())
	case ipproto.UDP:
		return fmt.Sprintf("UDP port %d", port())
	case ipproto.ICMPv6:
		return "ping"
	default:
		return fmt.Sprintf("IP protocol %d", p[6])
	}
}

func tcpPort(port uint16) string { return fmt.Sprintf("TCP port %d", port) }

// isLast reports whether something is what a peer has denied last, of late.
func (d *denials) isLast(peer netip.Addr, what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, ok := d.last[peer]
	return ok && last.what == what && time.Since(last.at) < deniedFor
}

// verdict says what of late a peer has denied; nil for nothing.
func (d *denials) verdict(peer netip.Addr, now time.Time) *Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, ok := d.last[peer]
	ago := now.Sub(last.at)
	if !ok || ago >= deniedFor {
		delete(d.last, peer)
		return nil
	}
	return &Verdict{
		CodeDenied, fmt.Sprintf("the peer's node did not admit %s, %v ago", last.what, ago.Round(time.Second)),
		"ask who makes the workspace's template, or its policy, to allow it",
	}
}

// until returns a context that ends with ErrDenied when the peer denies something.
func (d *denials) until(ctx context.Context, peer netip.Addr) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	tell := func() { cancel(ErrDenied) }
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = make(map[netip.Addr]map[*func()]bool)
	}
	if d.waiting[peer] == nil {
		d.waiting[peer] = make(map[*func()]bool)
	}
	d.waiting[peer][&tell] = true
	return ctx, func() {
		cancel(nil)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting[peer], &tell)
		if len(d.waiting[peer]) == 0 {
			delete(d.waiting, peer)
		}
	}
}

// UntilDenied returns a context that ends, with ErrDenied as its cause, when the peer with
// the given address denies something that was sent to it.
func (n *Node) UntilDenied(ctx context.Context, peer netip.Addr) (context.Context, context.CancelFunc) {
	return n.filter.denied.until(ctx, peer)
}
