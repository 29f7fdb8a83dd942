package mesh

import meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"

// Drain tells every node to come back, to whoever is there next, and ends its
// session. To its peers it is lost, not gone: tunnels stay.
func (h *Hub) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		s.outbox.put(errorDown(meshv1.Error_UNAVAILABLE, "", "the coordinator is shutting down; connections stay, and it will be tried again"), true)
	}
}
