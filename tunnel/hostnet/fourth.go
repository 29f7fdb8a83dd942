package hostnet

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flowKept is how long a flow may be silent: as long as TCP keeps a connection
	// alive without a word.
	flowKept = 2*time.Hour + 15*time.Minute

	// flowKeptShort is the same of UDP and echoes.
	flowKeptShort = 5 * time.Minute

	// maxFlows bounds the flows of IPv4 at a time. Those beyond are not translated.
	maxFlows = 1 << 16
)

// fourth is a gate's half for IPv4: which address stands for whom, and what is under
// way. A peer's packets are IPv6 whatever ours were, so it is remembered who spoke
// IPv4.
type fourth struct {
	any atomic.Bool // there have been flows; set under mu

	mu    sync.Mutex                // guards what follows
	self4 netip.Addr                // invalid while there is no IPv4
	self  netip.Addr                // the same as IPv6
	to    map[netip.Addr]netip.Addr // IPv6 addresses by those that stand for them
	back  map[netip.Addr]netip.Addr // and the reverse
	flows map[flow]time.Time        // when each was last used
}

// SetIPv4 says which IPv4 addresses stand for which: self4 for self, and those of
// peers by their IPv6 addresses. What was under way at other addresses ends.
func (g *Gate) SetIPv4(self, self4 netip.Addr, peers map[netip.Addr]netip.Addr) {
	f := &g.ipv4
	f.mu.Lock()
	defer f.mu.Unlock()
	f.self, f.self4, f.back = self, self4, peers
	f.to = make(map[netip.Addr]netip.Addr, len(peers))
	for a6, a4 := range peers {
		f.to[a4] = a6
	}
	if f.flows == nil {
		f.flows = make(map[flow]time.Time)
	}
}

// outward makes IPv6 of the IPv4 packet in buf[:size] and returns its size; zero for
// one that cannot be sent.
func (f *fourth) outward(buf []byte, size int) int {
	header, fl, dst, ok := parse4(buf[:size])
	if !ok {
		return 0
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.peer = f.to[dst]
	if !fl.peer.IsValid() || netip.AddrFrom4([4]byte(buf[12:16])) != f.self4 {
		return 0
	}
	if _, known := f.flows[fl]; !known {
		if len(f.flows) >= maxFlows {
			f.forgetLocked(now)
		}
		if len(f.flows) >= maxFlows {
			return 0
		}
	}
	f.flows[fl] = now
	f.any.Store(true)
	return to6(buf, size, header, f.self, fl.peer)
}

// inward makes IPv4 of an IPv6 packet that answers one of ours which was that, and
// returns its size; zero for all others, which stay as they are.
func (f *fourth) inward(p []byte) int {
	fl, ok := parse6(p)
	if !ok {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	src, known := f.back[fl.peer]
	if _, ours := f.flows[fl]; !ours || !known {
		return 0
	}
	f.flows[fl] = time.Now()
	return to4(p, src, f.self4)
}

// forgetLocked forgets flows that have been silent for long.
func (f *fourth) forgetLocked(now time.Time) {
	for fl, used := range f.flows {
		kept := flowKeptShort
		if fl.proto == nextTCP {
			kept = flowKept
		}
		if now.Sub(used) > kept {
			delete(f.flows, fl)
		}
	}
}
