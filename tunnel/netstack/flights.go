package netstack

import (
	"encoding/binary"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// flightsMost is how many connections are known before those that are over
	// are looked for.
	flightsMost = 1024

	// flightIdle is after how long without a packet a connection is taken for
	// over. One that is not goes on without a bound.
	flightIdle = 10 * time.Minute

	// Options of TCP.
	optEnd, optNop, optScale, optSACK = 0, 1, 3, 5

	sackLen = 8 // of a range: where it begins and where it ends
)

// flights are the connections of a stack, by what tells them apart.
type flights struct {
	epoch time.Time

	mu    sync.Mutex // guards what follows
	known map[flightKey]*knownFlight
	most  int
}

type flightKey struct {
	far       [header.IPv6AddressSize]byte
	farPort   uint16
	localPort uint16
}

// knownFlight is a connection, and how windows of its other end are scaled.
type knownFlight struct {
	flight
	scale  uint8
	lastAt time.Duration
}

func newFlights() *flights {
	return &flights{epoch: time.Now(), known: make(map[flightKey]*knownFlight), most: flightsMost}
}

// leaving notes a packet that the stack sends.
func (f *flights) leaving(pkt *stack.PacketBuffer) {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return
	}
	ip, tcp := pkt.NetworkHeader().Slice(), pkt.TransportHeader().Slice()
	if len(ip) < ipv6Len || len(tcp) < tcpMinLen {
		return
	}
	flags, size := tcp[flagsAt], uint32(pkt.Data().Size())
	if size == 0 && flags&(flagSYN|flagFIN|flagRST) == 0 {
		return // an acknowledgement occupies nothing
	}
	key := flightKey{farPort: binary.BigEndian.Uint16(tcp[2:]), localPort: binary.BigEndian.Uint16(tcp)}
	copy(key.far[:], ip[ipDstAt:])
	seq := binary.BigEndian.Uint32(tcp[seqAt:])
	end := seq + size
	if flags&(flagSYN|flagFIN) != 0 {
		end++
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if flags&flagRST != 0 {
		delete(f.known, key)
		return
	}
	now := time.Since(f.epoch)
	k := f.known[key]
	if k == nil {
		if flags&flagSYN == 0 {
			return // how its windows are scaled is not known
		}
		k = f.add(now, key)
	}
	k.lastAt = now
	k.sent(now, seq, end)
}

// add makes a connection known. f.mu is held.
func (f *flights) add(now time.Duration, key flightKey) *knownFlight {
	if len(f.known) >= f.most {
		for old, k := range f.known {
			if now-k.lastAt >= flightIdle {
				delete(f.known, old)
			}
		}
		f.most = max(flightsMost, 2*len(f.known))
	}
	k := new(knownFlight)
	f.known[key] = k
	return k
}

// arriving notes a packet for the stack, and narrows the window that it tells of. It
// reports whether a connection goes on by it that had to send something again.
func (f *flights) arriving(p []byte) (wasStuck bool) {
	if len(p) < ipv6Len+tcpMinLen || p[ipNextAt] != uint8(header.TCPProtocolNumber) {
		return false
	}
	tcp := p[ipv6Len:]
	hdrLen := int(tcp[dataAt]>>4) * 4
	if hdrLen < tcpMinLen || hdrLen > len(tcp) {
		return false
	}
	flags, options := tcp[flagsAt], tcp[tcpMinLen:hdrLen]
	key := flightKey{farPort: binary.BigEndian.Uint16(tcp), localPort: binary.BigEndian.Uint16(tcp[2:])}
	copy(key.far[:], p[ipSrcAt:])
	f.mu.Lock()
	defer f.mu.Unlock()
	if flags&flagRST != 0 {
		delete(f.known, key)
		return false
	}
	now := time.Since(f.epoch)
	k := f.known[key]
	if flags&flagSYN != 0 {
		if k == nil || flags&flagACK == 0 {
			k = f.add(now, key)
		}
		if scale := option(options, optScale); len(scale) == 1 {
			k.scale = min(scale[0], header.MaxWndScale)
		}
	}
	if k == nil || flags&flagACK == 0 {
		return false
	}
	k.lastAt = now
	ack := binary.BigEndian.Uint32(tcp[ackAt:])
	far, sack := ack, option(options, optSACK)
	for ; len(sack) >= sackLen; sack = sack[sackLen:] {
		if end := binary.BigEndian.Uint32(sack[sackLen/2:]); before(far, end) {
			far = end
		}
	}
	wasStuck = k.acked(now, ack, far, far != ack)
	if flags&flagSYN == 0 { // the window of one that opens is not scaled
		told := int(binary.BigEndian.Uint16(tcp[windowAt:]))
		binary.BigEndian.PutUint16(tcp[windowAt:], uint16(k.window(told<<k.scale)>>k.scale))
	}
	return wasStuck
}

// option returns what an option of TCP says, or nil if it is not there.
func option(options []byte, kind byte) []byte {
	for len(options) > 1 && options[0] != optEnd {
		if options[0] == optNop {
			options = options[1:]
			continue
		}
		size := int(options[1])
		if size < 2 || size > len(options) {
			return nil
		}
		if options[0] == kind {
			return options[2:size]
		}
		options = options[size:]
	}
	return nil
}
