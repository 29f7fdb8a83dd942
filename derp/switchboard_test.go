package derp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tailscale.com/derp"
	"tailscale.com/disco"
	"tailscale.com/types/key"
)

var noAddress netip.AddrPort

func openBoard(t *testing.T) *switchboard {
	s := newSwitchboard(key.NewNode(), 0, func(context.Context, key.NodePublic) (bool, error) { return true, nil }, slog.New(slog.DiscardHandler))
	t.Cleanup(s.close)
	return s
}

// next waits for the next message of a kind, past others.
func next[M derp.ReceivedMessage](t *testing.T, c *derp.Client) M {
	t.Helper()
	for {
		m, err := c.Recv()
		if err != nil {
			t.Fatalf("waiting for %T: %v", *new(M), err)
		}
		if got, ok := m.(M); ok {
			return got
		}
	}
}

// Who has been sent packets by somebody is told when that is gone; who looks for
// somebody unknown is told, too.
func TestClientsAreToldWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openBoard(t)
		alice, bob := key.NewNode(), key.NewNode()
		a, conn := greeted(t, s, alice)
		b, _ := greeted(t, s, bob)
		if err := a.Send(bob.Public(), []byte("hello")); err != nil {
			t.Fatal(err)
		}
		next[derp.ReceivedPacket](t, b)
		conn.Close()
		if got := next[derp.PeerGoneMessage](t, b); got.Peer != alice.Public() || got.Reason != derp.PeerGoneReasonDisconnected {
			t.Errorf("told %+v", got)
		}
		looks := append([]byte(disco.Magic), make([]byte, 100)...)
		if err := b.Send(alice.Public(), looks); err != nil {
			t.Fatal(err)
		}
		if got := next[derp.PeerGoneMessage](t, b); got.Peer != alice.Public() || got.Reason != derp.PeerGoneReasonNotHere {
			t.Errorf("told %+v", got)
		}
		if len(s.heard) != 0 {
			t.Errorf("%d keys are remembered that nobody has", len(s.heard))
		}
	})
}

// Of two connections with one key packets go to the one that was heard last.
func TestPacketsGoWhereAKeyWasHeardLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openBoard(t)
		alice, bob := key.NewNode(), key.NewNode()
		a, _ := greeted(t, s, alice)
		first, _ := greeted(t, s, bob)
		second, conn := greeted(t, s, bob)
		reach := func(c *derp.Client, text string) {
			t.Helper()
			if err := a.Send(bob.Public(), []byte(text)); err != nil {
				t.Fatal(err)
			}
			if got := next[derp.ReceivedPacket](t, c); string(got.Data) != text {
				t.Errorf("got %q, want %q", got.Data, text)
			}
		}
		reach(second, "to the one that came last")
		if err := first.Send(key.NewNode().Public(), []byte("a word")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		reach(first, "to the one that spoke last")
		conn.Close()
		synctest.Wait()
		reach(first, "to the one that is left")
	})
}

// A silent client is written to, so that it does not take its relay for dead.
func TestSilentClientsAreKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openBoard(t)
		c, _ := greeted(t, s, key.NewNode())
		began := time.Now()
		next[derp.KeepAliveMessage](t, c)
		next[derp.KeepAliveMessage](t, c)
		if took := time.Since(began); took > 2*(derp.KeepAlive+keepAliveLook) {
			t.Errorf("two signs of life took %v", took)
		}
	})
}

// Packets longer than what is read at once come whole, in order, and others beside them.
func TestPacketsOfAllSizesArrive(t *testing.T) {
	s := openBoard(t)
	alice, bob := key.NewNode(), key.NewNode()
	a, _ := greeted(t, s, alice)
	b, _ := greeted(t, s, bob)
	sizes := []int{0, 1, waitSize - 37, waitSize - 36, 1280, readSize, 40_000, derp.MaxPacketSize, 5, derp.MaxPacketSize}
	go func() {
		for _, n := range sizes {
			_ = a.Send(bob.Public(), make([]byte, n)) // it would not arrive
		}
	}()
	for _, n := range sizes {
		if got := next[derp.ReceivedPacket](t, b); len(got.Data) != n || got.Source != alice.Public() {
			t.Fatalf("%d bytes came, want %d", len(got.Data), n)
		}
	}
}

// What only relays of the region may ask for ends the connection of anybody else.
func TestStrangersMayNotAskWhatSiblingsMay(t *testing.T) {
	for _, kind := range []derp.FrameType{derp.FrameWatchConns, derp.FrameForwardPacket, derp.FrameClosePeer} {
		s := openBoard(t)
		_, conn := greeted(t, s, key.NewNode())
		if _, err := conn.Write(frame(kind, nil)); err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

// A closed relay takes nobody.
func TestAClosedBoardTakesNobody(t *testing.T) {
	s := openBoard(t)
	s.close()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if s.enter(far) == nil {
		t.Error("it took a connection")
	}
}
