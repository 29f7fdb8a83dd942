package hostnet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	typeEchoRequest = 128
	typeEchoReply   = 129

	// nonceLen is the echo's payload in bytes, by which its answer is known.
	nonceLen = 16
)

// Ping sends an echo request as if from the interface's address, and waits for the
// answer. It needs no rights of the process's.
func (g *Gate) Ping(ctx context.Context, from, to netip.Addr) (time.Duration, error) {
	var nonce [nonceLen]byte
	rand.Read(nonce[:])
	answered := make(chan struct{})
	g.mu.Lock()
	g.echoes[nonce] = answered
	g.echoing.Store(int32(len(g.echoes)))
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.echoes, nonce)
		g.echoing.Store(int32(len(g.echoes)))
		g.mu.Unlock()
	}()

	start := time.Now()
	packet := echoRequest(from, to, nonce)
	if g.admitsTo(to, packet) {
		g.Send(packet)
	}
	select {
	case <-answered:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("hostnet: ping %v: no answer: %w", to, context.Cause(ctx))
	}
}

// echoRequest makes an ICMPv6 echo request (RFC 4443, section 4.1).
func echoRequest(from, to netip.Addr, nonce [nonceLen]byte) []byte {
	p := make([]byte, ipv6HeaderLen+icmpHeaderLen+nonceLen)
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], icmpHeaderLen+nonceLen)
	p[6], p[7] = nextICMPv6, 64
	src, dst := from.As16(), to.As16()
	copy(p[8:], src[:])
	copy(p[24:], dst[:])
	icmp := p[ipv6HeaderLen:]
	icmp[0] = typeEchoRequest
	copy(icmp[4:8], nonce[:]) // identifier and number
	copy(icmp[icmpHeaderLen:], nonce[:])
	pseudo := checksum.Combine(checksum.Checksum(p[8:40], 0), uint16(len(icmp)+nextICMPv6))
	binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, pseudo))
	return p
}

// takeEcho reports whether a packet answers one of our own echo requests.
func (g *Gate) takeEcho(packet []byte) bool {
	if len(packet) != ipv6HeaderLen+icmpHeaderLen+nonceLen || packet[6] != nextICMPv6 || packet[ipv6HeaderLen] != typeEchoReply {
		return false
	}
	nonce := [nonceLen]byte(packet[ipv6HeaderLen+icmpHeaderLen:])
	g.mu.Lock()
	defer g.mu.Unlock()
	answered := g.echoes[nonce]
	if answered != nil {
		close(answered)
		delete(g.echoes, nonce)
	}
	return answered != nil
}

// Write passes packets from peers on, but for answers to our own echo requests.
func (g *Gate) Write(bufs [][]byte, offset int) (int, error) {
	n := len(bufs)
	if g.echoing.Load() > 0 {
		kept := bufs[:0]
		for _, buf := range bufs {
			if !g.takeEcho(buf[offset:]) {
				kept = append(kept, buf)
			}
		}
		bufs = kept
	}
	if g.ipv4.any.Load() {
		for i, buf := range bufs {
			if size := g.ipv4.inward(buf[offset:]); size > 0 {
				bufs[i] = buf[:offset+size]
			}
		}
	}
	if len(bufs) > 0 {
		if _, err := g.Device.Write(bufs, offset); err != nil {
			return 0, err
		}
	}
	return n, nil
}
