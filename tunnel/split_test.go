package tunnel

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"
)

func TestSegmentsMakeUpTheSegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		packet := sizedPacket(protoTCP, rapid.IntRange(ipv6HeaderLen+tcpHeaderLen+21, 9000).Draw(t, "size"))
		whole := header.TCP(packet[ipv6HeaderLen:])
		whole.SetDataOffset(uint8(rapid.IntRange(5, 10).Draw(t, "words of header") * 4))
		whole.SetFlags(uint8(header.TCPFlagAck | header.TCPFlagPsh | header.TCPFlagFin))
		seq := rapid.Uint32().Draw(t, "seq")
		binary.BigEndian.PutUint32(whole[4:], seq)
		mtu := rapid.IntRange(200, 1500).Draw(t, "mtu")

		var payload []byte
		parts := splitTCP(packet, mtu)
		for i, p := range parts {
			ip := header.IPv6(p)
			tcp := header.TCP(ip.Payload())
			if len(p) > mtu || !ip.IsValid(len(p)) {
				t.Fatalf("a packet of %d bytes, valid: %v", len(p), ip.IsValid(len(p)))
			}
			sum := checksum.Checksum(tcp.Payload(), 0)
			if !tcp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), sum, uint16(len(tcp.Payload()))) {
				t.Error("the checksum is off")
			}
			if got := tcp.SequenceNumber(); got != seq+uint32(len(payload)) {
				t.Errorf("sequence number %d after %d bytes from %d", got, len(payload), seq)
			}
			want := header.TCPFlagAck
			if i == len(parts)-1 {
				want = whole.Flags()
			}
			if tcp.Flags() != want || !bytes.Equal(tcp.Options(), whole.Options()) {
				t.Errorf("part %d of %d has flags %v and other options", i+1, len(parts), tcp.Flags())
			}
			payload = append(payload, tcp.Payload()...)
		}
		if !bytes.Equal(payload, whole.Payload()) {
			t.Errorf("%d segments make up %d bytes of %d", len(parts), len(payload), len(whole.Payload()))
		}
	})
}

func TestWhatIsNoPlainSegmentIsNotSplit(t *testing.T) {
	for name, p := range map[string][]byte{
		"a SYN":              ipv6Packet(self, alice, protoTCP, 1, 2, tcpSYN),
		"UDP":                sizedPacket(protoUDP, 1500),
		"a cut header":       sizedPacket(protoTCP, 1500)[:50],
		"nothing but header": sizedPacket(protoTCP, ipv6HeaderLen+tcpHeaderLen),
	} {
		if got := splitTCP(p, 1000); got != nil {
			t.Errorf("%s became %d packets", name, len(got))
		}
	}
}
