package mesh

import (
	"slices"
	"sync"

	"github.com/google/uuid"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// proxyName is what the coordinator's own node is called. No user can be called that.
const proxyName = "coordinator (browsers)"

// Vouch lets the coordinator's own node be linked to an agent, because somebody who
// may be there is on their way through it, until the function that it returns is
// called by the last who vouched. Who that is, and whether they still may, is the
// caller's to know: the node acts for people, and for nobody by itself.
func (h *Hub) Vouch(agent uuid.UUID) (withdraw func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.vouched[agent]++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.vouched[agent]--; h.vouched[agent] > 0 {
			return
		}
		delete(h.vouched, agent)
		h.epoch++
		h.deliver(h.core.cut(h.proxy, agent))
	})
}

func (h *Hub) isVouched(agent uuid.UUID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.vouched[agent] > 0
}

// notByProxy leaves out the sessions of people who came through the coordinator's own
// node: it knows who they are, and tells of them itself.
func (h *Hub) notByProxy(list []*meshv1.SessionReport) []*meshv1.SessionReport {
	proxy := h.proxy.String()
	return slices.DeleteFunc(slices.Clone(list), func(s *meshv1.SessionReport) bool { return s.GetClient() == proxy })
}
