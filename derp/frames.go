package derp

import (
	"encoding/binary"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

func appendHeader(b []byte, kind derp.FrameType, size int) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(kind)), uint32(size))
}

func frame(kind derp.FrameType, body []byte) []byte {
	return append(appendHeader(make([]byte, 0, derp.FrameHeaderLen+len(body)), kind, len(body)), body...)
}

// goneFrame tells that a key is not here.
func goneFrame(k key.NodePublic, why derp.PeerGoneReasonType) []byte {
	return frame(derp.FramePeerGone, append(k.AppendTo(nil), byte(why)))
}

// presentFrame tells that a client is.
func presentFrame(l *line) []byte {
	body := l.key.AppendTo(nil)
	ip := l.from.Addr().As16()
	body = append(body, ip[:]...)
	body = binary.BigEndian.AppendUint16(body, l.from.Port())
	var flags derp.PeerPresentFlags
	if l.info.IsProber {
		flags |= derp.PeerPresentIsProber
	}
	if l.sibling {
		flags |= derp.PeerPresentIsMeshPeer
	}
	if flags == 0 {
		flags = derp.PeerPresentIsRegular
	}
	return frame(derp.FramePeerPresent, append(body, byte(flags)))
}
