package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store/internal/db"
	"github.com/aditmesh/adit/pkg/meshaddr"
)

// Node is a member of the mesh: an agent, or a client of a user.
type Node struct {
	ID      uuid.UUID
	UserID  uuid.UUID
	Agent   bool // then ID is the agent's
	Address netip.Addr
}

// AgentNode is an agent on the mesh, with what it is called.
type AgentNode struct {
	Node
	WorkspaceID                         uuid.UUID
	AgentName, WorkspaceName, OwnerName string
}

// MeshAgent is what the mesh needs to know of an agent.
type MeshAgent struct {
	ID, WorkspaceID, OwnerID            uuid.UUID
	OrganizationID                      uuid.UUID
	AgentName, WorkspaceName, OwnerName string
	TokenHash                           []byte
	Manifest                            []byte // as Agent's
	// Templates are what the workspace's template is called: ORGANIZATION/TEMPLATE, and
	// one of the default organization TEMPLATE, too.
	Templates []string
}

// LiveAgent finds an agent whose workspace is not deleted.
func (s *Store) LiveAgent(ctx context.Context, id uuid.UUID) (MeshAgent, error) {
	a, err := one(ctx, "agent "+id.String(), func(ctx context.Context) (db.LiveAgentRow, error) { return s.q.LiveAgent(ctx, id) })
	var templates []string
	if a.TemplateName != "" {
		templates = qualified(a.OrganizationID, a.OrganizationName, a.TemplateName)
	}
	return MeshAgent{
		ID: a.ID, WorkspaceID: a.WorkspaceID, OwnerID: a.OwnerID, OrganizationID: a.OrganizationID,
		AgentName: a.Name, WorkspaceName: a.WorkspaceName, OwnerName: a.OwnerName, TokenHash: a.TokenHash,
		Manifest: a.Manifest, Templates: templates,
	}, err
}

// JoinAgent binds an agent's node to its present keys; the keys it had before
// are forgotten. ErrKeyInUse if another node holds the public key, ErrNotFound
// if the agent or its workspace is gone.
func (s *Store) JoinAgent(ctx context.Context, id uuid.UUID, publicKey, discoKey [32]byte, version string) (AgentNode, error) {
	a, err := one(ctx, "join agent "+id.String(), func(ctx context.Context) (db.JoinAgentRow, error) {
		return s.q.JoinAgent(ctx, db.JoinAgentParams{
			ID: id, Address: meshaddr.FromID(id), PublicKey: publicKey[:], DiscoKey: discoKey[:], Version: version,
		})
	})
	return AgentNode{
		Node:        Node{ID: a.ID, UserID: a.OwnerID, Agent: true, Address: meshaddr.FromID(id)},
		WorkspaceID: a.WorkspaceID, AgentName: a.Name, WorkspaceName: a.WorkspaceName, OwnerName: a.OwnerName,
	}, err
}

// JoinClient takes up the node that a resume token of this user names, with
// its present keys, or else makes a new one. It returns the token to resume
// with. A client that never got its token, because the answer was lost, is
// known by its keys. ErrKeyInUse if another node holds the public key.
func (s *Store) JoinClient(ctx context.Context, userID uuid.UUID, resume string, publicKey, discoKey [32]byte) (Node, string, error) {
	var n db.Node
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		old, err := resumable(ctx, q, userID, resume)
		if err == nil {
			n, err = q.ResumeClientNode(ctx, db.ResumeClientNodeParams{ID: old, PublicKey: publicKey[:], DiscoKey: discoKey[:]})
			return err
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		text, hash := secret.New()
		n, err = q.ReclaimClientNode(ctx, db.ReclaimClientNodeParams{
			UserID: userID, PublicKey: publicKey[:], DiscoKey: discoKey[:], ResumeHash: hash,
		})
		if err == nil {
			resume = n.ID.String() + "_" + text
			return nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		id := uuid.New()
		resume = id.String() + "_" + text
		n, err = q.InsertClientNode(ctx, db.InsertClientNodeParams{
			ID: id, UserID: userID, Address: meshaddr.FromID(id),
			PublicKey: publicKey[:], DiscoKey: discoKey[:], ResumeHash: hash,
		})
		return err
	})
	if err != nil {
		return Node{}, "", fmt.Errorf("store: join client of user %s: %w", userID, kind(err))
	}
	return Node{ID: n.ID, UserID: n.UserID, Address: n.Address}, resume, nil
}

// resumable returns the node that a resume token names, or ErrNotFound.
func resumable(ctx context.Context, q *db.Queries, userID uuid.UUID, resume string) (uuid.UUID, error) {
	idText, text, _ := strings.Cut(resume, "_")
	id, err := uuid.Parse(idText)
	if err != nil {
		return uuid.Nil, ErrNotFound
	}
	n, err := q.ClientNode(ctx, db.ClientNodeParams{ID: id, UserID: userID})
	if err != nil {
		return uuid.Nil, kind(err)
	}
	if !secret.Match(text, n.ResumeHash) {
		return uuid.Nil, ErrNotFound
	}
	return n.ID, nil
}

// LeaveClient forgets a client node that said bye.
func (s *Store) LeaveClient(ctx context.Context, id uuid.UUID) error {
	return do(ctx, "leave client "+id.String(), func(ctx context.Context) error { return s.q.DeleteClientNode(ctx, id) })
}

// DeleteStaleClients forgets client nodes not seen since before, but for those
// to keep.
func (s *Store) DeleteStaleClients(ctx context.Context, before time.Time, keep []uuid.UUID) (int64, error) {
	return one(ctx, "delete stale clients", func(ctx context.Context) (int64, error) {
		return s.q.DeleteStaleClientNodes(ctx, db.DeleteStaleClientNodesParams{Before: before, Keep: keep})
	})
}

// NodeKeyKnown reports whether a WireGuard key is a node's.
func (s *Store) NodeKeyKnown(ctx context.Context, publicKey [32]byte) (bool, error) {
	return one(ctx, "node key", func(ctx context.Context) (bool, error) { return s.q.NodeKeyKnown(ctx, publicKey[:]) })
}

// ConnectedAgents lists the agents recorded as connected.
func (s *Store) ConnectedAgents(ctx context.Context) ([]uuid.UUID, error) {
	return one(ctx, "connected agents", s.q.ConnectedAgents)
}

// AgentLiveness is the state that an agent was seen in at a time of the
// coordinator's clock.
type AgentLiveness struct {
	AgentID uuid.UUID
	State   AgentState
	At      time.Time
}

// RecordLiveness writes the states of all agents of a tick in one statement.
func (s *Store) RecordLiveness(ctx context.Context, batch []AgentLiveness) error {
	var p db.RecordLivenessParams
	for _, l := range batch {
		p.Ids = append(p.Ids, l.AgentID)
		p.States = append(p.States, string(l.State))
		p.Ats = append(p.Ats, l.At)
	}
	return do(ctx, fmt.Sprintf("record liveness of %d agents", len(batch)), func(ctx context.Context) error {
		return s.q.RecordLiveness(ctx, p)
	})
}

// GiveUpOnAgents notes as timed out those that have not connected in the time that
// their template gives them, counted from the end of their build.
func (s *Store) GiveUpOnAgents(ctx context.Context) ([]uuid.UUID, error) {
	return one(ctx, "give up on agents", s.q.GiveUpOnAgents)
}
