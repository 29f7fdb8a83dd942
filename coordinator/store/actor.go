package store

import (
	"context"

	"github.com/google/uuid"
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
)

// Actor is who acts, and from where. The zero Actor is the system.
type Actor struct {
	Kind ActorKind `json:"kind"`
	// UserID is the person, or the owner of the agent's workspace.
	UserID  uuid.UUID `json:"user_id,omitzero"`
	AgentID uuid.UUID `json:"agent_id,omitzero"`
	TokenID uuid.UUID `json:"token_id,omitzero"`
	// Remote is the address that a request came from, RequestID its id.
	Remote    string `json:"remote,omitempty"`
	RequestID string `json:"request_id,omitempty"`
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
