package path

import (
	"testing"
	"time"
)

// Both ways are open, and the sender uses both.
func TestTheDeviceSeesAHandshakeMessageOnce(t *testing.T) {
	relay := relayServer(t)
	a, b := newEnd(t, relay, 0), newEnd(t, relay, 0)
	introduce(a, b, a.loopback(), b.loopback())
	waitPath(t, a.peer, "direct", func(p Path) bool { return p.Direct.IsValid() })
	came := map[string]int{}
	// receive waits for a packet, and counts what comes meanwhile.
	receive := func(want []byte, patience time.Duration) bool {
		timeout := time.After(patience)
		for came[string(want)] == 0 {
			select {
			case r := <-b.got:
				came[string(r.packet)]++
			case <-timeout:
				return false
			}
		}
		return true
	}
	behind := 0
	// relayed sends a packet over the relay, where none overtakes another.
	relayed := func(patience time.Duration) bool {
		behind++
		a.link(900).send(a.peer.key, data(behind))
		return receive(data(behind), patience)
	}
	for !relayed(20 * time.Millisecond) { // the relay knows b from some moment on
	}
	var messages [][]byte
	for kind, size := range map[uint32]int{wgInitiation: wgInitiationLen, wgResponse: wgResponseLen} {
		for i := range handshakesKept / 2 { // a late copy is remembered, too
			message := wireGuard(kind, size)
			message[size-1] = byte(i)
			messages = append(messages, message)
			if err := a.Send([][]byte{message}, a.peer); err != nil {
				t.Fatal(err)
			}
			if !relayed(patience) || !receive(message, patience) {
				t.Fatalf("message %d of kind %d did not arrive", i, kind)
			}
		}
	}
	relayed(patience)
	for _, m := range messages {
		if n := came[string(m)]; n != 1 {
			t.Errorf("message %d of kind %d reached the device %d times", m[len(m)-1], m[0], n)
		}
	}
}
