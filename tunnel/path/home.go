package path

import (
	"slices"
	"strings"
	"sync"
)

// homes is what the choice of a home region goes by, but for the map.
type homes struct {
	wishes wishes

	mu sync.Mutex // guards what follows, and is held while the choice is made
	// down are the regions none of whose relays could be reached when last tried.
	down map[uint32]bool
}

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

// among returns those of regions that a home may be in: those pinned, or, when they
// are gone, those not excluded. When all are, there is none.
func (w wishes) among(regions []Region) []Region {
	regions = slices.DeleteFunc(slices.Clone(regions), func(r Region) bool { return slices.Contains(w.excluded, r.Code) })
	pinned := slices.DeleteFunc(slices.Clone(regions), func(r Region) bool { return !slices.Contains(w.pinned, r.Code) })
	if len(pinned) > 0 {
		return pinned
	}
	return regions
}

// amongLocked returns the regions that home may be in, those that can be reached if
// there are any.
func (h *homes) amongLocked(regions []Region) []Region {
	up := slices.DeleteFunc(slices.Clone(regions), func(r Region) bool { return h.down[r.ID] })
	if chosen := h.wishes.among(up); len(chosen) > 0 {
		return chosen
	}
	return h.wishes.among(regions)
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

// relayTried notes how often in a row a region's relays were dialled in vain. Home
// moves when each of them was, without waiting for the coordinator to find out.
func (b *Bind) relayTried(region uint32, fails int) {
	r, ok := b.Region(region)
	down := fails > 0 && fails >= len(r.Relays)
	b.homes.mu.Lock()
	news := ok && b.homes.down[region] != down
	if down && ok {
		b.homes.down[region] = true
	} else {
		delete(b.homes.down, region)
	}
	b.homes.mu.Unlock()
	if news {
		b.probe.rehome()
	}
}
