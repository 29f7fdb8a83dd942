package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ActorKind says what somebody who changes things is.
type ActorKind string

const (
	// ActorSystem is the coordinator itself: what is due without anybody asking.
	ActorSystem ActorKind = "system"
	// ActorNobody has not said who they are: somebody who signs in, or tries to.
	ActorNobody      ActorKind = "nobody"
	ActorUser        ActorKind = "user"
	ActorAgent       ActorKind = "agent"
	ActorProvisioner ActorKind = "provisioner"
	ActorRelay       ActorKind = "relay"
)

// Actor is who acts, and from where. The zero Actor is the system.
type Actor struct {
	Kind ActorKind `json:"kind"`
	// UserID is the person, or the owner of the agent's workspace.
	UserID  uuid.UUID `json:"user_id,omitzero"`
	AgentID uuid.UUID `json:"agent_id,omitzero"`
	// TokenID is the token's that they act by, or the provisioner key's.
	TokenID uuid.UUID `json:"token_id,omitzero"`
	// Name is what they are called who are no person.
	Name string `json:"name,omitempty"`
	// Remote is the address that a request came from, RequestID its id.
	Remote    string `json:"remote,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Reading is that nothing is to change, so that the database need not know.
	Reading bool `json:"-"`
}

type actorKey struct{}

// WithActor returns a context in which changes are this actor's.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns who acts in a context; the system if nobody was named.
func ActorFrom(ctx context.Context) Actor {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		a.Kind = ActorSystem
	}
	return a
}

// actorSetting is where a connection has who acts, for the triggers that write
// the audit log. pgx keeps the same under it for us.
const actorSetting = "adit.actor"

// actAs makes a connection that was taken from the pool act for whom ctx says.
// So no statement can change things in somebody else's name, nor in nobody's.
func actAs(ctx context.Context, conn *pgx.Conn) (bool, error) {
	want := ""
	if a := ActorFrom(ctx); a.Kind != ActorSystem && !a.Reading {
		text, err := json.Marshal(a)
		if err != nil {
			return true, fmt.Errorf("actor: %w", err)
		}
		want = string(text)
	}
	custom := conn.PgConn().CustomData()
	if has, _ := custom[actorSetting].(string); has == want {
		return true, nil
	}
	delete(custom, actorSetting)
	if _, err := conn.Exec(ctx, "select set_config($1, $2, false)", actorSetting, want); err != nil {
		return false, nil // the connection is not good; the pool tries another
	}
	custom[actorSetting] = want
	return true, nil
}
