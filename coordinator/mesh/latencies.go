package mesh

import (
	"slices"
	"time"
)

// RegionLatency is how far the nodes that are here have it to a region of relays.
type RegionLatency struct {
	// Nodes is how many measured it, of whom Home chose the region.
	Nodes, Home int
	// Median is the round trip; zero if nobody measured it.
	Median time.Duration
}

// RegionLatencies returns what nodes measured, by region.
func (h *Hub) RegionLatencies() map[uint32]RegionLatency {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.core.regionLatencies()
}

func (c *core) regionLatencies() map[uint32]RegionLatency {
	measured, home := make(map[uint32][]uint32), make(map[uint32]int)
	for _, n := range c.nodes {
		if n.session == 0 || n.self == nil {
			continue
		}
		home[n.self.GetHomeRelay()]++
		for region, micros := range n.self.GetRelayLatencies() {
			measured[region] = append(measured[region], micros)
		}
	}
	all := make(map[uint32]RegionLatency)
	for region, n := range home {
		all[region] = RegionLatency{Home: n}
	}
	for region, micros := range measured {
		slices.Sort(micros)
		all[region] = RegionLatency{Nodes: len(micros), Home: home[region], Median: time.Duration(micros[len(micros)/2]) * time.Microsecond}
	}
	delete(all, 0) // of those that have none yet
	return all
}
