package derp

import (
	"crypto/rand"
	"testing"
	"time"

	"go4.org/mem"
	"tailscale.com/types/key"
)

// newPair is two nodes; which they are does not matter, but that they are others each
// time.
func newPair() key.SortedPairOfDiscoPublic {
	var raw [2][32]byte
	rand.Read(raw[0][:])
	rand.Read(raw[1][:])
	return key.NewSortedPairOfDiscoPublic(key.DiscoPublicFromRaw32(mem.B(raw[0][:])), key.DiscoPublicFromRaw32(mem.B(raw[1][:])))
}

// fill has a node hold as many sessions as it may, and returns the pair of the first.
func fill(t *testing.T, s *sessions, now time.Time, by key.NodePublic, live map[uint32]bool) (first key.SortedPairOfDiscoPublic) {
	t.Helper()
	for i := range sessionsEach {
		pair, vni := newPair(), uint32(len(live)+1)
		if !s.room(now, pair, by) {
			t.Fatalf("no room for session %d of a node", i)
		}
		s.note(pair, by, vni)
		live[vni] = true
		if i == 0 {
			first = pair
		}
	}
	return first
}

func TestSessionsOfANodeAreBounded(t *testing.T) {
	live := map[uint32]bool{}
	s := newSessions(func() map[uint32]bool { return live })
	now, greedy, other := time.Unix(1_000_000, 0), key.NewNode().Public(), key.NewNode().Public()
	first := fill(t, s, now, greedy, live)
	if s.room(now, newPair(), greedy) {
		t.Error("a node is given one more than it may have")
	}
	if !s.room(now, first, greedy) || !s.room(now, first, other) {
		t.Error("a pair is refused the session that it has")
	}
	if !s.room(now, newPair(), other) {
		t.Error("what one node holds keeps others out")
	}

	clear(live) // all have ended
	if s.room(now.Add(sessionsPause/2), newPair(), greedy) {
		t.Error("it was looked again at once")
	}
	if !s.room(now.Add(sessionsPause), newPair(), greedy) {
		t.Error("sessions that have ended keep their place")
	}
	if len(s.held) != 0 || len(s.each) != 0 {
		t.Errorf("%d sessions of %d nodes are remembered that have ended", len(s.held), len(s.each))
	}
}

func TestSessionsOfARelayAreBounded(t *testing.T) {
	live := map[uint32]bool{}
	s := newSessions(func() map[uint32]bool { return live })
	now := time.Unix(1_000_000, 0)
	var last key.SortedPairOfDiscoPublic
	for range sessionsMost / sessionsEach {
		last = fill(t, s, now, key.NewNode().Public(), live)
	}
	if s.room(now, newPair(), key.NewNode().Public()) {
		t.Errorf("one more than %d was given", sessionsMost)
	}
	if !s.room(now, last, key.NewNode().Public()) {
		t.Error("a pair is refused the session that it has")
	}
}
