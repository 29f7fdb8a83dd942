package path

import (
	"encoding/binary"

	"tailscale.com/disco"
	"tailscale.com/net/stun"
)

// packetKind says who a packet is for.
type packetKind uint8

const (
	kindGarbage packetKind = iota
	kindWireGuard
	kindDisco
	kindSTUN
	kindGeneve
)

// WireGuard message types and sizes, from the WireGuard paper, section 5.4.
const (
	wgInitiation  = 1
	wgResponse    = 2
	wgCookieReply = 3
	wgTransport   = 4

	wgInitiationLen   = 148
	wgResponseLen     = 92
	wgCookieReplyLen  = 64
	wgTransportMinLen = 32
)

// keepaliveLen is the size of a transport message that carries nothing. WireGuard sends
// one 10 s after data that it had nothing to say to: nobody waits for it, and the
// path that it takes need not be watched for it.
const keepaliveLen = wgTransportMinLen

// discoOverhead is what precedes and follows a disco message on the wire: the
// magic, the sender's key, the nonce and the box's 16-byte tag.
const discoOverhead = len(disco.Magic) + 32 + disco.NonceLen + 16

// classify tells WireGuard, disco, STUN and what UDP relays carry apart by their
// first bytes. They cannot be confused: a WireGuard message starts with its type
// and three zero bytes, disco with "TS", and STUN carries its magic cookie at
// bytes 4 to 8 behind a two-byte type whose top bits are zero. There Geneve ends in
// a zero, and it names one of two protocols before.
//
// It looks at the outside only. What is called kindDisco may still fail to
// open; what is called kindWireGuard may still fail to authenticate.
func classify(b []byte) packetKind {
	if len(b) < 4 {
		return kindGarbage
	}
	switch binary.LittleEndian.Uint32(b) {
	case wgTransport:
		if len(b) >= wgTransportMinLen {
			return kindWireGuard
		}
		return kindGarbage
	case wgInitiation:
		return wireGuardIf(len(b) == wgInitiationLen)
	case wgResponse:
		return wireGuardIf(len(b) == wgResponseLen)
	case wgCookieReply:
		return wireGuardIf(len(b) == wgCookieReplyLen)
	}
	if len(b) >= discoOverhead && disco.LooksLikeDiscoWrapper(b) {
		return kindDisco
	}
	if stun.Is(b) {
		return kindSTUN
	}
	if isGeneve(b) {
		return kindGeneve
	}
	return kindGarbage
}

func wireGuardIf(ok bool) packetKind {
	if ok {
		return kindWireGuard
	}
	return kindGarbage
}

// isInitiation reports whether a packet classified as WireGuard's begins a
// session.
func isInitiation(b []byte) bool { return b[0] == wgInitiation }

// isHandshake reports whether a packet classified as WireGuard's is one of the two
// messages that make a session.
func isHandshake(b []byte) bool {
	return len(b) > 0 && (b[0] == wgInitiation || b[0] == wgResponse)
}
