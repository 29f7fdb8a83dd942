package derp

import (
	"bufio"
	"bytes"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// The other relay's word of who has come is late, and the node's packet is not: it is
// answered all the same, for as long as that word may take.
func TestWhoIsNotToldOfYetIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openBoard(t)
		secret, err := key.ParseDERPMesh(regionKey)
		if err != nil {
			t.Fatal(err)
		}
		s.setMeshKey(secret)
		relay, here, comes := key.NewNode(), key.NewNode(), key.NewNode().Public()
		other, _ := greeted(t, s, relay, derp.MeshKey(secret))
		h, _ := greeted(t, s, here)

		near, far := net.Pipe() // by which the other relay is watched
		t.Cleanup(func() { far.Close() })
		watched := func() *line {
			to := newLine(s, near, key.NodePublic{}, derp.ClientInfo{}, noAddress)
			to.onward = true
			to.current.Store(true)
			return to
		}
		to := watched()
		s.addOnward(relay.Public(), to)
		said := bufio.NewReader(far)
		answers := func() bool {
			t.Helper()
			if err := h.Send(comes, []byte("back")); err != nil {
				t.Fatal(err)
			}
			if err := far.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, derp.FrameHeaderLen+2*derp.KeyLen+len("back"))
			_, err := said.Read(got)
			return err == nil && bytes.Equal(got, onwardFrame(here.Public(), comes, "back"))
		}
		untold := func() int {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return len(s.untold)
		}
		if answers() {
			t.Error("a packet for nobody is forwarded")
		}
		speaks := func() {
			t.Helper()
			if err := other.ForwardPacket(comes, here.Public(), []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if got := next[derp.ReceivedPacket](t, h); got.Source != comes {
				t.Fatalf("a packet of %v came", got.Source)
			}
		}
		speaks()
		for range 2 {
			if !answers() {
				t.Error("the answer is not forwarded")
			}
		}

		// What it is told counts more.
		elsewhere := watched()
		s.addBeyond(comes, elsewhere)
		if got := s.find(comes); got != elsewhere || untold() != 0 {
			t.Errorf("packets take %p of %p, and %d are untold of", got, elsewhere, untold())
		}
		speaks()
		if untold() != 0 {
			t.Error("one that was told of is untold of")
		}
		s.removeBeyond(comes, elsewhere)
		if answers() {
			t.Error("one that has gone is sent packets")
		}

		// Its last words may come after it has gone.
		again, _ := greeted(t, s, relay, derp.MeshKey(secret)) // forgets where its last packet went
		if err := again.ForwardPacket(comes, here.Public(), []byte("bye")); err != nil {
			t.Fatal(err)
		}
		next[derp.ReceivedPacket](t, h)
		if !answers() {
			t.Error("the answer to last words is not forwarded")
		}
		time.Sleep(untoldFor + keepAliveLook)
		if answers() || untold() != 0 {
			t.Error("they are remembered for ever")
		}
	})
}

// onwardFrame is a packet as it goes to another relay.
func onwardFrame(src, dst key.NodePublic, packet string) []byte {
	b := dst.AppendTo(src.AppendTo(appendHeader(nil, derp.FrameForwardPacket, 2*derp.KeyLen+len(packet))))
	return append(b, packet...)
}
