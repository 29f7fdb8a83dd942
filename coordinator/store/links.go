package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// LinkKey names the link between a client and an agent.
type LinkKey struct{ ClientID, AgentID uuid.UUID }

// PathView is what one end of a link says of the path its packets take, as events
// tell it.
type PathView struct {
	Path    string       `json:"path"`
	Region  string       `json:"region,omitempty"` // code of a relay's
	RTTMs   float64      `json:"rtt_ms,omitempty"`
	MTU     uint32       `json:"mtu"`
	Verdict *PathVerdict `json:"verdict"` // nil if it is direct
}

// PathVerdict is why a path is not direct.
type PathVerdict struct {
	Code     string `json:"code"`
	Evidence string `json:"evidence"`
	Fix      string `json:"fix"`
}

// Link is how the ends of a link see it; nil is an end that has not said.
type Link struct {
	LinkKey
	ByClient, ByAgent *PathView
}

// RecordLinks keeps what ends of links say, in one statement for all. A link whose
// client or agent is no more is left out.
func (s *Store) RecordLinks(ctx context.Context, batch []Link) error {
	var p db.RecordLinksParams
	for _, l := range batch {
		p.AgentIds, p.ClientIds = append(p.AgentIds, l.AgentID), append(p.ClientIds, l.ClientID)
		p.ByClients, p.ByAgents = append(p.ByClients, jsonView(l.ByClient)), append(p.ByAgents, jsonView(l.ByAgent))
	}
	return do(ctx, fmt.Sprintf("record %d links", len(batch)), func(ctx context.Context) error { return s.q.RecordLinks(ctx, p) })
}

// DropLinks forgets links that are no more.
func (s *Store) DropLinks(ctx context.Context, batch []LinkKey) error {
	var p db.DropLinksParams
	for _, l := range batch {
		p.AgentIds, p.ClientIds = append(p.AgentIds, l.AgentID), append(p.ClientIds, l.ClientID)
	}
	return do(ctx, fmt.Sprintf("drop %d links", len(batch)), func(ctx context.Context) error { return s.q.DropLinks(ctx, p) })
}

// jsonView writes a view as a column that may be null.
func jsonView(v *PathView) []byte {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: strings and finite numbers are always JSON: %v", err))
	}
	return b
}
