package mesh

// Counts is how many there are of what a hub has.
type Counts struct {
	// Streams are control streams, those included that have not said hello.
	Streams int
	// AgentsHere and ClientsHere are on their streams. AgentsLost and
	// ClientsLost were, and may return.
	AgentsHere, ClientsHere, AgentsLost, ClientsLost int
	// Links by the path that the client's packets take: "direct", "udp-relay",
	// "derp", "derp-ws", "none", or "unknown" while it has not said.
	Links map[string]int
}

// Counts counts what the hub has.
func (h *Hub) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := Counts{Streams: len(h.sessions), Links: make(map[string]int)}
	for _, n := range h.core.nodes {
		here, lost := &c.ClientsHere, &c.ClientsLost
		if n.agent {
			here, lost = &c.AgentsHere, &c.AgentsLost
		} else {
			for _, l := range n.links { // each link has one client
				c.Links[pathOf(l)]++
			}
		}
		switch {
		case n.session != 0:
			*here++
		case !n.lostAt.IsZero():
			*lost++
		}
	}
	return c
}

// pathOf is one of a few values, whatever a client says.
func pathOf(l *link) string {
	if l.byClient == nil {
		return "unknown"
	}
	switch l.byClient.Path {
	case "direct", "udp-relay", "derp", "derp-ws", "none":
		return l.byClient.Path
	}
	return "unknown"
}
