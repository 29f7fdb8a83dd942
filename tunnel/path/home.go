package path

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// homes is what the choice of a home region goes by, but for the map.
type homes struct {
	own wishes // of who started the node

	mu sync.Mutex // guards what follows, and is held while the choice is made
	// policy is what the coordinator's policy wishes. What either excludes is excluded, and
	// of what the policy has pinned the node pins.
	policy wishes
	// down are the regions none of whose relays could be reached when last tried.
	down map[uint32]bool
	// out says that no region can be reached, and the log was told so at said.
	out  bool
	said time.Time
}

// outSaidEvery is how often the log says that no relay can be reached, at the most:
// a network may come and go.
const outSaidEvery = time.Minute

// wishes are the regions that a node is to be reached in, and those that it is not.
type wishes struct{ pinned, excluded []string }

// parseWishes reads Options.RelayRegion.
func parseWishes(text string) (w wishes) {
	for code := range strings.SplitSeq(text, ",") {
		code = strings.TrimSpace(code)
		if not, found := strings.CutPrefix(code, "-"); found {
			w.excluded = append(w.excluded, not)
		} else if code != "" {
			w.pinned = append(w.pinned, code)
		}
	}
	return w
}

// without returns regions without those excluded.
func (w wishes) without(regions []Region) []Region {
	return slices.DeleteFunc(slices.Clone(regions), func(r Region) bool { return slices.Contains(w.excluded, r.Code) })
}

// preferred returns those of regions that are pinned, or all, when none is.
func (w wishes) preferred(regions []Region) []Region {
	pinned := slices.DeleteFunc(slices.Clone(regions), func(r Region) bool { return !slices.Contains(w.pinned, r.Code) })
	if len(pinned) > 0 {
		return pinned
	}
	return regions
}

// wishedLocked returns those of regions that a home may be in: those pinned, or, when
// they are gone, those not excluded. When all are, there is none.
func (h *homes) wishedLocked(regions []Region) []Region {
	return h.own.preferred(h.policy.preferred(h.own.without(h.policy.without(regions))))
}

// amongLocked returns the regions that home may be in, those that can be reached if
// there are any.
func (h *homes) amongLocked(regions []Region) []Region {
	up := slices.DeleteFunc(slices.Clone(regions), func(r Region) bool { return h.down[r.ID] })
	if chosen := h.wishedLocked(up); len(chosen) > 0 {
		return chosen
	}
	return h.wishedLocked(regions)
}

// nearest returns which of regions is to be home in place of old, by round trips in
// microseconds; zero if there are none. A region without a measurement counts as
// farthest; with none at all the present home stays, or the first one is taken.
func nearest(regions []Region, old uint32, latencies map[uint32]uint32) (home uint32) {
	stays := false
	for _, r := range regions {
		stays = stays || r.ID == old
		switch {
		case home == 0:
			home = r.ID
		case latencies[r.ID] == 0:
			if r.ID == old && latencies[home] == 0 {
				home = old
			}
		case latencies[home] == 0 || latencies[r.ID] < latencies[home]:
			home = r.ID
		}
	}
	// Moving makes every peer look elsewhere: only for a third less.
	if was, is := latencies[old], latencies[home]; stays && was != 0 && is*3 > was*2 {
		return old
	}
	return home
}

// SetRegions has the node be reached in pinned regions, by their codes, and in none of
// those excluded, as the coordinator's policy has it. It holds from the next SetRelays on.
func (b *Bind) SetRegions(pinned, excluded []string) {
	b.homes.mu.Lock()
	defer b.homes.mu.Unlock()
	b.homes.policy = wishes{pinned, excluded}
}

// Pinned says by whom a region is pinned to which this node is to be reached: "pinned" is
// by itself, and else it is "pinned by the policy", or "".
func (b *Bind) Pinned(code string) string {
	b.homes.mu.Lock()
	defer b.homes.mu.Unlock()
	switch {
	case slices.Contains(b.homes.own.pinned, code):
		return "pinned"
	case slices.Contains(b.homes.policy.pinned, code):
		return "pinned by the policy"
	}
	return ""
}

// chooseHome makes the nearest region home, of those that may be, and connects there.
func (b *Bind) chooseHome(latencies map[uint32]uint32) {
	b.homes.mu.Lock()
	defer b.homes.mu.Unlock()
	old := b.home.Load()
	home := nearest(b.homes.amongLocked(b.Regions()), old, latencies)
	b.home.Store(home)
	if l := b.link(home); l != nil {
		l.setHome(true)
	}
	if old != home && old != 0 {
		b.mu.RLock()
		l := b.links[old]
		b.mu.RUnlock()
		if l != nil {
			l.setHome(false)
		}
	}
}

// relayTried notes how often in a row a region's relays were dialled in vain, and why.
// Home moves when each of them was, without waiting for the coordinator to find out.
func (b *Bind) relayTried(region uint32, fails int, err error) {
	r, ok := b.Region(region)
	down := fails > 0 && fails >= len(r.Relays)
	regions := b.Regions()
	b.homes.mu.Lock()
	news := ok && b.homes.down[region] != down
	if down && ok {
		b.homes.down[region] = true
	} else {
		delete(b.homes.down, region)
	}
	out, in := b.homes.turnedLocked(regions, time.Now())
	b.homes.mu.Unlock()
	switch {
	case out:
		b.log.Warn("no relay can be reached: peers without a direct path are out of reach until one is", "err", err)
	case in:
		b.log.Info("a relay can be reached again")
	}
	if news {
		b.probe.rehome()
	}
}

// turnedLocked reports whether the log is to say that no region which home may be in can
// be reached any more, or that one can again.
func (h *homes) turnedLocked(regions []Region, now time.Time) (out, in bool) {
	none := !slices.ContainsFunc(h.wishedLocked(regions), func(r Region) bool { return !h.down[r.ID] })
	switch {
	case none && !h.out && now.Sub(h.said) >= outSaidEvery:
		h.out, h.said = true, now
		return true, false
	case !none && h.out:
		h.out = false
		return false, true
	}
	return false, false
}
