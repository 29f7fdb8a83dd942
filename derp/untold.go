package derp

import (
	"time"

	"tailscale.com/types/key"
)

// A relay is told who is at another over the connection by which it watches that one, and
// gets their packets over the connection by which that one watches it. Of a node that has
// just come either may be first. Where the packet is, the answer to it would be dropped:
// for the answer to a handshake of WireGuard's that is a pause of 5 s. So who forwards
// packets of a node that nobody told of is where it is, for as long as that may take.

// untoldFor is how long a node may be untold of: much longer than one connection is behind
// another. Who has gone meanwhile gets no packets by it, but those that look for it are not
// told so.
const untoldFor = 5 * time.Second

// untold is where a node is that nobody told of.
type untold struct {
	relay key.NodePublic
	since time.Time
}

// addOnward notes the line to another relay.
func (s *switchboard) addOnward(relay key.NodePublic, to *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onward[relay] = to
}

// removeOnward undoes that, unless there is another line by now.
func (s *switchboard) removeOnward(relay key.NodePublic, to *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onward[relay] == to {
		delete(s.onward, relay)
	}
}

// cameBy notes that another relay forwards packets of a key. It is one of the region, which
// is trusted to say who is there, and no more of them are kept than come in twice untoldFor.
func (s *switchboard) cameBy(k, relay key.NodePublic) {
	s.mu.RLock()
	told := s.toldLocked(k, relay)
	s.mu.RUnlock()
	if told {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.toldLocked(k, relay) {
		s.untold[k] = untold{relay, time.Now()}
		s.routed.Add(1)
	}
}

func (s *switchboard) toldLocked(k, relay key.NodePublic) bool {
	return len(s.lines[k]) > 0 || len(s.beyond[k]) > 0 || s.untold[k].relay == relay
}

// settleLocked has a key be untold of no more: it is known where it is, or too late.
func (s *switchboard) settleLocked(k key.NodePublic) {
	if _, was := s.untold[k]; was {
		delete(s.untold, k)
		s.routed.Add(1)
	}
}

// forgetUntold forgets those that nobody told of in time.
func (s *switchboard) forgetUntold(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, u := range s.untold {
		if now.Sub(u.since) >= untoldFor {
			s.settleLocked(k)
		}
	}
}
