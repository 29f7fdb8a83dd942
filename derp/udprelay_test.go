package derp

import (
	"testing"
	"time"

	"go4.org/mem"
	"tailscale.com/derp"
	"tailscale.com/disco"
	"tailscale.com/types/key"
)

// Whom DERP lets in gets a session for itself and another, the same as that other;
// and no answer to anything else.
func TestSessionsAreGivenOverDERP(t *testing.T) {
	r, at := start(t, Config{Admit: admitAll, UDPRelay: "127.0.0.1:0"})
	info := r.UDPRelay()
	relay, spoken := key.NodePublicFromRaw32(mem.B(info.Key[:])), key.DiscoPublicFromRaw32(mem.B(info.DiscoKey[:]))
	alice := client(t, at, key.NewNode())
	connect(t, alice)
	a, b, stranger := key.NewDisco(), key.NewDisco(), key.NewDisco()

	ask := func(by, of, and key.DiscoPrivate) []byte {
		m := &disco.AllocateUDPRelayEndpointRequest{ClientDisco: [2]key.DiscoPublic{of.Public(), and.Public()}, Generation: 7}
		return append(by.Public().AppendTo([]byte(disco.Magic)), by.Shared(spoken).Seal(m.AppendMarshal(nil))...)
	}
	send := func(frame []byte) {
		t.Helper()
		if err := alice.Send(relay, frame); err != nil {
			t.Fatal(err)
		}
	}
	offer := func(to key.DiscoPrivate) *disco.AllocateUDPRelayEndpointResponse {
		t.Helper()
		for {
			m, err := alice.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := m.(derp.ReceivedPacket)
			if !ok || got.Source != relay {
				continue
			}
			plain, ok := to.Shared(spoken).Open(got.Data[len(disco.Magic)+key.DiscoPublicRawLen:])
			if !ok {
				t.Fatal("an answer was sealed for another")
			}
			msg, err := disco.Parse(plain)
			if err != nil {
				t.Fatal(err)
			}
			return msg.(*disco.AllocateUDPRelayEndpointResponse)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
		if n := r.board.counts.clients.Load(); n == 2 { // the relay is there, and alice
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%v clients are there, want 2", n)
		}
	}
	defer time.AfterFunc(10*time.Second, func() { alice.Close() }).Stop()
	send(ask(stranger, a, b))
	send([]byte("no disco at all"))
	send(ask(a, a, a))
	send(ask(a, a, b))
	first := offer(a)
	send(ask(b, b, a))
	second := offer(b)
	if first.VNI == 0 || first.VNI != second.VNI || first.ServerDisco != second.ServerDisco || first.Generation != 7 {
		t.Errorf("one is offered %+v, the other %+v", first, second)
	}
}

func TestNobodyAsksForTooManySessions(t *testing.T) {
	asked := newOften[key.NodePublic](requestsEach, maxSources)
	now, one, other := time.Now(), key.NewNode().Public(), key.NewNode().Public()
	for i := range 2 * requestsEach {
		if may := asked.may(one, now); may != (i < requestsEach) {
			t.Fatalf("request %d: %v", i, may)
		}
	}
	if !asked.may(other, now) || !asked.may(one, now.Add(time.Second)) {
		t.Error("others, or the next second's, were refused")
	}
}
