package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// MetadataValue is what a command that an agent runs for its template printed
// last, or why there is nothing.
type MetadataValue struct {
	AgentID    uuid.UUID
	Key        string
	Value, Err string
	At         time.Time
}

// RecordMetadata keeps the last values of any number of agents, in one statement.
// Those that their template does not ask for, and those that are older than what
// is kept, are left out.
func (s *Store) RecordMetadata(ctx context.Context, batch []MetadataValue) error {
	var p db.RecordMetadataParams
	for _, v := range batch {
		p.AgentIds, p.Keys, p.Values = append(p.AgentIds, v.AgentID), append(p.Keys, v.Key), append(p.Values, v.Value)
		p.Errors, p.Ats = append(p.Errors, v.Err), append(p.Ats, v.At)
	}
	return do(ctx, fmt.Sprintf("record %d values of metadata", len(batch)), func(ctx context.Context) error {
		return s.q.RecordMetadata(ctx, p)
	})
}

// AgentMetadata returns the last values of agents, by agent and key.
func (s *Store) AgentMetadata(ctx context.Context, agentIDs []uuid.UUID) (map[uuid.UUID]map[string]MetadataValue, error) {
	rows, err := one(ctx, "metadata of agents", func(ctx context.Context) ([]db.AgentMetadatum, error) {
		return s.q.MetadataOfAgents(ctx, agentIDs)
	})
	values := make(map[uuid.UUID]map[string]MetadataValue)
	for _, r := range rows {
		if values[r.AgentID] == nil {
			values[r.AgentID] = make(map[string]MetadataValue)
		}
		values[r.AgentID][r.Key] = MetadataValue{AgentID: r.AgentID, Key: r.Key, Value: r.Value, Err: r.Error, At: r.At}
	}
	return values, err
}
