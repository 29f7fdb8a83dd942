package mesh

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// Connection is a link between a client and an agent as its two ends see it.
type Connection struct {
	Client     uuid.UUID
	ClientName string
	// ClientHere says whether the client is on its control stream.
	ClientHere bool
	// ByClient and ByAgent are nil until that end has reported.
	ByClient, ByAgent *View
}

// View is what one end says of the path its packets take.
type View struct {
	Path   string // "direct", "udp-relay", "derp", "derp-ws" or "none"
	Region string // code of the relay's; "" without one
	RTT    time.Duration
	MTU    uint32 // in bytes, inside the tunnel
	// Rx and Tx are what came and went, in bytes, when it last told.
	Rx, Tx uint64
	// Code is why the path is not direct, Evidence what shows it and Fix what
	// would change it; empty when it is.
	Code, Evidence, Fix string
	At                  time.Time
}

// stored is a view as it is written and told of.
func (v *View) stored() *store.PathView {
	if v == nil {
		return nil
	}
	out := &store.PathView{Path: v.Path, Region: v.Region, RTTMs: float64(v.RTT.Microseconds()) / 1000, MTU: v.MTU}
	if v.Code != "" {
		out.Verdict = &store.PathVerdict{Code: v.Code, Evidence: v.Evidence, Fix: v.Fix}
	}
	return out
}

// maxVerdictText bounds what a node may say in each field of a verdict.
const maxVerdictText = 512

// report notes what a node says of the path to a peer, and returns the link if
// there is one.
func (c *core) report(s sessionID, peer uuid.UUID, v *meshv1.Verdict, now time.Time) *link {
	n := c.sessions[s]
	if n == nil || n.links[peer] == nil {
		return nil
	}
	view := &View{
		Path: told(v.GetPath()), Region: told(v.GetRegion()), RTT: time.Duration(v.GetRttUs()) * time.Microsecond, MTU: v.GetMtu(), Rx: v.GetRxBytes(), Tx: v.GetTxBytes(), Code: told(v.GetReason()),
		Evidence: told(v.GetEvidence()), Fix: told(v.GetFix()), At: now,
	}
	l := n.links[peer]
	if n == l.client {
		l.byClient = view
	} else {
		l.byAgent = view
	}
	return l
}

// told makes what a node says short enough, and what Postgres keeps.
func told(s string) string { return foreign.Clip(foreign.Printable(s), maxVerdictText) }

// connections lists the links of an agent, by the client's name.
func (c *core) connections(agent uuid.UUID) []Connection {
	n := c.nodes[agent]
	if n == nil || !n.agent {
		return nil
	}
	list := make([]Connection, 0, len(n.links))
	for _, l := range n.links {
		list = append(list, Connection{
			Client: l.client.id, ClientName: l.client.name, ClientHere: l.client.session != 0,
			ByClient: l.byClient, ByAgent: l.byAgent,
		})
	}
	slices.SortFunc(list, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(a.ClientName, b.ClientName), cmp.Compare(a.Client.String(), b.Client.String()))
	})
	return list
}

// Connections lists the clients linked to an agent and how their packets
// travel. What it returns is not changed any more.
func (h *Hub) Connections(agent uuid.UUID) []Connection {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.core.connections(agent)
}
