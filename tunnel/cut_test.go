package tunnel

import (
	"bytes"
	"testing"
)

// Whatever a packet is, its pieces fit and make up what it carried.
func FuzzPiecesFitAndMakeUpThePacket(f *testing.F) {
	f.Add(sizedPacket(protoUDP, 3000), 1280)
	f.Add(sizedPacket(protoTCP, 9000), 1440)
	f.Add(sizedPacket(nextFragment, 1500), 600)
	f.Fuzz(func(t *testing.T, packet []byte, mtu int) {
		if len(packet) < ipv6HeaderLen || mtu < 0 || mtu > 1<<16 {
			return // the device looks at neither
		}
		var fragmented, split []byte
		for _, p := range fragment(bytes.Clone(packet), mtu, 7) {
			if len(p) > mtu {
				t.Fatalf("a fragment of %d bytes, over %d", len(p), mtu)
			}
			fragmented = append(fragmented, p[ipv6HeaderLen+fragHeaderLen:]...)
		}
		if payload := packet[ipv6HeaderLen:]; len(fragmented) > 0 && !bytes.HasSuffix(payload, fragmented) {
			t.Fatal("the fragments carry something else")
		}
		for _, p := range splitTCP(bytes.Clone(packet), mtu) {
			if len(p) > mtu {
				t.Fatalf("a segment of %d bytes, over %d", len(p), mtu)
			}
			split = append(split, p[ipv6HeaderLen+int(p[ipv6HeaderLen+12]>>4)*4:]...)
		}
		if len(split) > 0 && !bytes.HasSuffix(packet, split) {
			t.Fatal("the segments carry something else")
		}
	})
}
