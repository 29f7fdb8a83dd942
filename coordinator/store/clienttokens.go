package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// keptClientTokens is how many tokens of programs an agent has beside the one that is
// made: it makes one when half of the last one's time is over, and so may an agent that
// takes over from it.
const keptClientTokens = 7

// ClientToken is a token of programs in a workspace, that its agent hands out.
type ClientToken struct {
	ID, AgentID uuid.UUID
	OwnerID     uuid.UUID // of the workspace
	AgentHash   []byte    // of the agent's token, with which it ends
	SecretHash  []byte
	// Left is how long it is still good for, by the database's clock.
	Left time.Duration
}

// CreateClientToken makes a token of an agent's programs and returns its id; ErrNotFound
// if the agent or its workspace is gone.
func (s *Store) CreateClientToken(ctx context.Context, agentID uuid.UUID, secretHash []byte, lifetime time.Duration) (uuid.UUID, error) {
	return one(ctx, "create client token of agent "+agentID.String(), func(ctx context.Context) (uuid.UUID, error) {
		return s.q.InsertClientToken(ctx, db.InsertClientTokenParams{
			AgentID: agentID, SecretHash: secretHash, Seconds: lifetime.Seconds(), Keep: keptClientTokens,
		})
	})
}

// LiveClientToken finds a token that has not expired, and whose agent has the token still
// that it asked for it with.
func (s *Store) LiveClientToken(ctx context.Context, id uuid.UUID) (ClientToken, error) {
	r, err := one(ctx, "client token "+id.String(), func(ctx context.Context) (db.LiveClientTokenRow, error) { return s.q.LiveClientToken(ctx, id) })
	return ClientToken{
		ID: id, AgentID: r.AgentID, OwnerID: r.OwnerID, AgentHash: r.AgentHash, SecretHash: r.SecretHash,
		Left: time.Duration(r.SecondsLeft * float64(time.Second)),
	}, err
}
