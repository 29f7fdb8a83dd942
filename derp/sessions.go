package derp

import (
	"time"

	"tailscale.com/types/key"
)

const (
	// sessionsEach is how many sessions one node may have asked for that have not
	// ended: a node that hundreds of others visit, all from behind hard NATs.
	sessionsEach = 1000

	// sessionsMost bounds those of a relay.
	sessionsMost = 50_000

	// sessionsPause lies between two looks at which have ended: each takes in all.
	sessionsPause = time.Second
)

// sessions knows who asked for a UDP relay's sessions, so that nobody takes them all.
// Its methods may not be called concurrently.
type sessions struct {
	// live returns the numbers of those that have not ended.
	live   func() map[uint32]bool
	held   map[key.SortedPairOfDiscoPublic]heldSession
	each   map[key.NodePublic]int
	looked time.Time
}

// heldSession is a session and who asked for it first.
type heldSession struct {
	vni uint32
	by  key.NodePublic
}

func newSessions(live func() map[uint32]bool) *sessions {
	return &sessions{live: live, held: make(map[key.SortedPairOfDiscoPublic]heldSession), each: make(map[key.NodePublic]int)}
}

// room reports whether a node may have the session of a pair. The one that the pair
// has already, either end may.
func (s *sessions) room(now time.Time, pair key.SortedPairOfDiscoPublic, by key.NodePublic) bool {
	if _, ok := s.held[pair]; ok {
		return true
	}
	if s.full(by) && now.Sub(s.looked) >= sessionsPause {
		s.looked = now
		s.forgetEnded()
	}
	return !s.full(by)
}

func (s *sessions) full(by key.NodePublic) bool {
	return s.each[by] >= sessionsEach || len(s.held) >= sessionsMost
}

// note remembers the session that a pair was given.
func (s *sessions) note(pair key.SortedPairOfDiscoPublic, by key.NodePublic, vni uint32) {
	if old, ok := s.held[pair]; ok {
		s.held[pair] = heldSession{vni, old.by}
		return
	}
	s.held[pair] = heldSession{vni, by}
	s.each[by]++
}

func (s *sessions) forgetEnded() {
	live := s.live()
	for pair, h := range s.held {
		if live[h.vni] {
			continue
		}
		delete(s.held, pair)
		if s.each[h.by]--; s.each[h.by] == 0 {
			delete(s.each, h.by)
		}
	}
}
