package path

import (
	"errors"
	"fmt"

	"go4.org/mem"
	"tailscale.com/disco"
	"tailscale.com/types/key"
)

// errDisco is the root of everything that can be wrong with a disco frame.
var errDisco = errors.New("bad disco frame")

// sealDisco returns the frame that carries msg to the holder of the other half
// of shared.
func sealDisco(self key.DiscoPublic, shared key.DiscoShared, msg disco.Message) []byte {
	frame := make([]byte, 0, 512)
	frame = append(frame, disco.Magic...)
	frame = self.AppendTo(frame)
	return append(frame, shared.Seal(msg.AppendMarshal(nil))...)
}

// discoSender returns the key that the sender of frame claims. Only opening
// the frame proves it.
func discoSender(frame []byte) (key.DiscoPublic, bool) {
	raw, ok := disco.Source(frame)
	if !ok {
		return key.DiscoPublic{}, false
	}
	return key.DiscoPublicFromRaw32(mem.B(raw)), true
}

// pongLen is the length of a pong without its header, in bytes: what the format
// defines. Anything may follow.
const pongLen = 12 + 16 + 2

// pingLen is the length of the shortest frame that carries a ping.
const pingLen = discoOverhead + disco.MessageHeaderLen + disco.PingLen

// pongWith is a pong with the sender's report behind it.
type pongWith struct {
	disco.Pong
	report  counters
	garbled bool
}

// AppendMarshal appends the pong and then the report.
func (p *pongWith) AppendMarshal(b []byte) []byte {
	return appendReport(p.Pong.AppendMarshal(b), p.report, p.garbled)
}

// openDisco opens a frame and parses what is in it. What follows a pong comes
// back beside it. Errors match errDisco.
func openDisco(shared key.DiscoShared, frame []byte) (msg disco.Message, behind []byte, err error) {
	const headerLen = len(disco.Magic) + 32
	if len(frame) < discoOverhead {
		return nil, nil, fmt.Errorf("%w: %d bytes", errDisco, len(frame))
	}
	plain, ok := shared.Open(frame[headerLen:])
	if !ok {
		return nil, nil, fmt.Errorf("%w: box does not open", errDisco)
	}
	msg, err = disco.Parse(plain)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errDisco, err)
	}
	if _, ok := msg.(*disco.Pong); ok {
		return msg, plain[disco.MessageHeaderLen+pongLen:], nil
	}
	return msg, nil, nil
}
