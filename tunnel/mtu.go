package tunnel

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/aditmesh/adit/tunnel/path"
)

const (
	// stackMTU is the size of packets inside the tunnel, in bytes, that the
	// in-process stack may send: what jumbo frames of 9000 bytes carry over
	// IPv4. Most paths carry less; fittingDevice says so, peer by peer.
	stackMTU = 8928

	// minIPv6MTU is what every link of IPv6 must carry (RFC 8200, section 5).
	// Nobody need believe a Packet Too Big that asks for less.
	minIPv6MTU = 1280

	ipv6HeaderLen = 40
	fragHeaderLen = 8
	tcpHeaderLen  = 20

	// Values of the next-header field.
	nextTCP      = 6
	nextFragment = 44
	nextICMPv6   = 58
)

// deviceOffset is the room before a packet that WireGuard's device leaves and
// every tun.Device may use.
const deviceOffset = 16

// destination is what fittingDevice has to know of a peer.
type destination interface {
	// MTU is the largest packet, in bytes, that the path carries.
	MTU() int
	// RTT is the path's round trip; zero while not known.
	RTT() time.Duration
	// EnsureInDevice waits until the WireGuard device knows the peer, or until
	// is closed.
	EnsureInDevice(until <-chan struct{})
	// NoteOpened tells that WireGuard opened packets of the peer, and how many of
	// them were large.
	NoteOpened(packets, large int)
}

// fittingDevice is a tun.Device whose outgoing packets fit the path of the peer
// they are for. TCP is told the size when it connects, by the MSS option of its
// SYN. What is too large all the same, since the path has changed, is answered with
// an ICMPv6 Packet Too Big (RFC 4443) if that can help. Where it cannot, TCP
// segments are split and other packets sent in fragments: when the path carries
// less than IPv6's minimum, and for the stack in the process, which keeps no path
// MTU but TCP's, and after a Packet Too Big sends what is lost again in the old
// size. Fragmenting is for the source alone (RFC 8200), and this device stands at
// the source.
type fittingDevice struct {
	tun.Device
	// fragments says that packets are split or fragmented in place of an answer.
	fragments bool
	ident     atomic.Uint32 // of the last fragmented packet

	closeOnce sync.Once
	closed    chan struct{}

	paths addressed[destination]

	queue   *standing // what waits to be read; the reader's own, as the next
	waiting [][]byte  // packets that found no room
}

func newFittingDevice(dev tun.Device, fragments bool) *fittingDevice {
	return &fittingDevice{
		Device: dev, fragments: fragments, closed: make(chan struct{}), queue: newStanding(dev.File()),
	}
}

// setPath says what leads to a mesh address; nil is nothing.
func (f *fittingDevice) setPath(addr netip.Addr, to destination) {
	if to == nil {
		f.paths.remove(addr)
		return
	}
	f.paths.set(addr, to)
}

// Close ends Read, also where it waits for a peer.
func (f *fittingDevice) Close() error {
	f.closeOnce.Do(func() { close(f.closed) })
	return f.Device.Close()
}

// pathTo returns the largest packet that the path to dst carries and its round
// trip, and has the device know the peer there.
func (f *fittingDevice) pathTo(dst [16]byte) (mtu int, rtt time.Duration) {
	to := f.paths.get(dst)
	if to == nil {
		return minIPv6MTU, 0
	}
	to.EnsureInDevice(f.closed)
	return to.MTU(), to.RTT()
}

// Read reads packets that fit.
func (f *fittingDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if len(f.waiting) > 0 {
		n := 0
		for n < len(bufs) && n < len(f.waiting) {
			sizes[n] = copy(bufs[n][offset:], f.waiting[n])
			n++
		}
		f.waiting = f.waiting[n:]
		return n, nil
	}
	f.queue.look()
	n, err := f.Device.Read(bufs, sizes, offset)
	if err != nil {
		return n, err
	}
	var told [16]byte // who was answered already
	kept := 0
	for i := range n {
		packet := bufs[i][offset : offset+sizes[i]]
		if len(packet) < ipv6HeaderLen || packet[0]>>4 != 6 {
			continue // the mesh speaks IPv6 alone
		}
		dst := [16]byte(packet[24:40])
		mtu, rtt := f.pathTo(dst)
		if f.queue.sheds(packet, rtt) {
			continue
		}
		clampMSS(packet, mtu)
		if len(packet) > mtu {
			f.tooBig(packet, mtu, dst == told)
			told = dst
			continue
		}
		if len(f.waiting) > 0 { // not to overtake those
			f.waiting = append(f.waiting, bytes.Clone(packet))
			continue
		}
		if kept != i { // the buffers themselves must stay where they are
			sizes[kept] = copy(bufs[kept][offset:], packet)
		}
		kept++
	}
	for kept < len(bufs) && len(f.waiting) > 0 {
		sizes[kept] = copy(bufs[kept][offset:], f.waiting[0])
		f.waiting = f.waiting[1:]
		kept++
	}
	return kept, nil
}

// Write passes packets on; those that open a TCP connection learn what size the
// way back carries.
func (f *fittingDevice) Write(bufs [][]byte, offset int) (int, error) {
	for _, buf := range bufs {
		if packet := buf[offset:]; opensTCP(packet) {
			if p := f.paths.get([16]byte(packet[8:24])); p != nil {
				clampMSS(packet, p.MTU())
			}
		}
	}
	return f.Device.Write(bufs, offset)
}

// noteOpened notes packets, all of one peer, that WireGuard opened.
func (f *fittingDevice) noteOpened(bufs [][]byte, offset int) {
	first := bufs[0][offset:]
	if len(first) < ipv6HeaderLen {
		return
	}
	from := f.paths.get([16]byte(first[8:24]))
	if from == nil {
		return
	}
	large := 0
	for _, buf := range bufs {
		if path.IsLarge(len(buf) - offset) {
			large++
		}
	}
	from.NoteOpened(len(bufs), large)
}

// tooBig deals with a packet larger than mtu: it is sent in parts, or its sender
// told, unless told already.
func (f *fittingDevice) tooBig(packet []byte, mtu int, told bool) {
	if len(packet) <= minIPv6MTU || f.fragments {
		parts := splitTCP(packet, mtu)
		if parts == nil {
			parts = fragment(packet, mtu, f.ident.Add(1))
		}
		f.waiting = append(f.waiting, parts...)
		return
	}
	if told {
		return
	}
	if answer := packetTooBig(packet, max(mtu, minIPv6MTU)); answer != nil {
		// A full or closed device loses it, as any network may.
		_, _ = f.Device.Write([][]byte{answer}, deviceOffset)
	}
}

// packetTooBig returns the ICMPv6 error for packet, behind deviceOffset bytes of
// room, or nil if packet is an error itself (RFC 4443, section 2.4).
func packetTooBig(packet []byte, mtu int) []byte {
	const typePacketTooBig = 2
	return icmpError(packet, typePacketTooBig, 0, uint32(mtu))
}

// icmpError returns an ICMPv6 error about packet, behind deviceOffset bytes of room, or
// nil if packet is an error itself (RFC 4443, section 2.4).
func icmpError(packet []byte, kind, code byte, about uint32) []byte {
	const firstInformational, icmpHeaderLen = 128, 8
	if packet[6] == nextICMPv6 && len(packet) > ipv6HeaderLen && packet[ipv6HeaderLen] < firstInformational {
		return nil
	}
	quoted := packet[:min(len(packet), minIPv6MTU-ipv6HeaderLen-icmpHeaderLen)]
	buf := make([]byte, deviceOffset+ipv6HeaderLen+icmpHeaderLen+len(quoted))
	answer := buf[deviceOffset:]
	answer[0] = 6 << 4
	binary.BigEndian.PutUint16(answer[4:], uint16(icmpHeaderLen+len(quoted)))
	answer[6], answer[7] = nextICMPv6, 64
	copy(answer[8:24], packet[24:40]) // from whom it was for
	copy(answer[24:40], packet[8:24]) // to whom it is from
	icmp := answer[ipv6HeaderLen:]
	icmp[0], icmp[1] = kind, code
	binary.BigEndian.PutUint32(icmp[4:], about)
	copy(icmp[icmpHeaderLen:], quoted)
	pseudo := checksum.Combine(checksum.Checksum(answer[8:40], 0), uint16(len(icmp)+nextICMPv6))
	binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, pseudo))
	return buf
}

// fragment splits an IPv6 packet, which may be a fragment already, into
// fragments of at most mtu bytes (RFC 8200, section 4.5). A packet with other
// extension headers is dropped: no stack here sends such.
func fragment(packet []byte, mtu int, ident uint32) [][]byte {
	next, payload := packet[6], packet[ipv6HeaderLen:]
	var offset, more uint16
	if next == nextFragment {
		if len(payload) < fragHeaderLen {
			return nil
		}
		next = payload[0]
		offset, more = binary.BigEndian.Uint16(payload[2:])&^7, binary.BigEndian.Uint16(payload[2:])&1
		ident = binary.BigEndian.Uint32(payload[4:])
		payload = payload[fragHeaderLen:]
	}
	const hopByHop, routing, destinationOptions = 0, 43, 60
	step := (mtu - ipv6HeaderLen - fragHeaderLen) &^ 7
	if next == hopByHop || next == routing || next == destinationOptions || step <= 0 {
		return nil
	}
	var out [][]byte
	for len(payload) > 0 {
		part := payload[:min(step, len(payload))]
		payload = payload[len(part):]
		f := make([]byte, 0, ipv6HeaderLen+fragHeaderLen+len(part))
		f = append(f, packet[:ipv6HeaderLen]...)
		f[6] = nextFragment
		binary.BigEndian.PutUint16(f[4:], uint16(fragHeaderLen+len(part)))
		flags := offset | more
		if len(payload) > 0 {
			flags |= 1
		}
		f = append(f, next, 0)
		f = binary.BigEndian.AppendUint16(f, flags)
		f = binary.BigEndian.AppendUint32(f, ident)
		out = append(out, append(f, part...))
		offset += uint16(len(part))
	}
	return out
}

// opensTCP reports whether packet is a TCP segment with the SYN flag.
func opensTCP(packet []byte) bool {
	const flags, syn = ipv6HeaderLen + 13, 2
	return len(packet) >= ipv6HeaderLen+tcpHeaderLen && packet[0]>>4 == 6 && packet[6] == nextTCP && packet[flags]&syn != 0
}

// clampMSS lowers the MSS option of a TCP segment that opens a connection to
// what packets of mtu bytes have room for.
func clampMSS(packet []byte, mtu int) {
	if !opensTCP(packet) {
		return
	}
	const end, nop, mssOption, mssLen = 0, 1, 2, 4
	tcp := packet[ipv6HeaderLen:]
	for at, stop := tcpHeaderLen, min(int(tcp[12]>>4)*4, len(tcp)); at < stop; {
		option := tcp[at:stop]
		switch {
		case option[0] == end:
			return
		case option[0] == nop:
			at++
			continue
		case len(option) < 2 || option[1] < 2 || int(option[1]) > len(option):
			return
		case option[0] == mssOption && option[1] == mssLen:
			lowerMSS(tcp, at+2, uint16(mtu-ipv6HeaderLen-tcpHeaderLen))
			return
		}
		at += int(option[1])
	}
}

// lowerMSS makes limit of the number at tcp[at:] if that is larger, and keeps
// the checksum right (RFC 1624). A number at an odd offset counts with its bytes
// swapped.
func lowerMSS(tcp []byte, at int, limit uint16) {
	old := binary.BigEndian.Uint16(tcp[at:])
	if old <= limit {
		return
	}
	binary.BigEndian.PutUint16(tcp[at:], limit)
	if at%2 != 0 {
		old, limit = old<<8|old>>8, limit<<8|limit>>8
	}
	sum := ^binary.BigEndian.Uint16(tcp[16:])
	binary.BigEndian.PutUint16(tcp[16:], ^fold(uint32(sum)+uint32(^old)+uint32(limit)))
}

// fold makes an Internet checksum (RFC 1071) of a sum of its words.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
