// Package mesh introduces nodes to each other. It serves the control streams
// of pkg/proto/meshv1 and keeps who is linked to whom.
//
// The rules are those of a pure state machine ([core]): addresses are the
// coordinator's to give; a key belongs to one node; a client is linked to an
// agent only if the agent's workspace is its user's or shared with them, the
// coordinator's own node only to agents that somebody was let through to, a
// workspace's client only to agents that the policy's links lead to, and
// nothing else is ever linked; what the policy takes away is not let through; both ends hear of each other at the same moment; a stream that
// breaks makes a node lost, not gone. Around it, a [Hub] has the streams, the
// store, and a lock.
//
// Make a Hub with [New], give its Connect method to a gRPC server, run Run
// beside it, call AgentDeleted, TokenRevoked and UserRevoked when access ends, and
// Recheck when it may have.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// protocolVersion is the newest control protocol that is spoken here, and
	// oldestProtocol the oldest.
	protocolVersion = 1
	oldestProtocol  = 1

	// helloTimeout is how long a stream may take to say who it is.
	helloTimeout = 10 * time.Second

	// defaultNodeTimeout is two pings of 15 s.
	defaultNodeTimeout = 30 * time.Second

	// joinsAtOnce is how many nodes join at once, with a statement or a few each.
	// When thousands come back at the same moment the others wait in line, and
	// the database has connections left for people.
	joinsAtOnce = 6

	// expireEvery is how often lost nodes and stale rows are looked for.
	expireEvery = time.Minute

	// clientKept is how long the row of a client that vanished is kept, so that
	// it can resume: over a night, with the lid closed.
	clientKept = 24 * time.Hour
)

// Store is what the mesh reads and writes.
type Store interface {
	livenessStore
	reportStore
	JoinAgent(ctx context.Context, id uuid.UUID, publicKey, discoKey [32]byte, version string) (store.AgentNode, error)
	JoinClient(ctx context.Context, userID uuid.UUID, resume string, publicKey, discoKey [32]byte) (store.Node, string, error)
	LeaveClient(ctx context.Context, id uuid.UUID) error
	LiveAgent(ctx context.Context, id uuid.UUID) (store.MeshAgent, error)
	LiveToken(ctx context.Context, id uuid.UUID) (store.LiveToken, error)
	LiveClientToken(ctx context.Context, id uuid.UUID) (store.ClientToken, error)
	GrantOf(ctx context.Context, userID, workspaceID uuid.UUID) (string, error)
	GroupNamesOf(ctx context.Context, userID uuid.UUID) ([]string, error)
	UserByID(ctx context.Context, id uuid.UUID) (store.User, error)
	NodeKeyKnown(ctx context.Context, publicKey [32]byte) (bool, error)
	DeleteStaleClients(ctx context.Context, before time.Time, keep []uuid.UUID) (int64, error)
}

// Config configures a Hub.
type Config struct {
	Store Store
	// Relays is the relay map that nodes get until SetRelays.
	Relays *meshv1.Relays
	// NodeTimeout is how long an agent whose stream broke may take to return
	// before it counts as timed out. Zero means 30 s.
	NodeTimeout time.Duration
	// Logger gets joins, leaves and what went wrong; nil discards.
	Logger *slog.Logger
}

// Hub serves the control streams. Its methods may be called concurrently.
type Hub struct {
	meshv1.UnimplementedMeshServer
	cfg Config
	log *slog.Logger
	// joining holds a value for each node that is joining in the store.
	joining chan struct{}
	// unplaced says that the store is to be asked what the policy calls some nodes.
	unplaced chan struct{}

	// mu guards what follows. It is held for one event at a time, never over
	// I/O.
	mu       sync.Mutex
	core     *core
	liveness *liveness
	reports  *reports
	states   *agentStates
	relays   *meshv1.Relays
	sessions map[sessionID]*session
	lastID   sessionID
	// epoch grows when access may have changed: what was asked of the store
	// before that says nothing any more.
	epoch uint64
	// proxy is the node of this process itself, and vouched the agents that it may
	// be linked to, with how often it was said so.
	proxy   uuid.UUID
	vouched map[uuid.UUID]int
}

// session is one stream, from before its hello is looked at: what is revoked
// meanwhile must not come in.
type session struct {
	id      sessionID
	outbox  *outbox
	who     auth.Identity
	revoked string // why it may not enter any more; guarded by Hub.mu
	place   place  // guarded by Hub.mu
}

// New returns a hub without streams.
func New(cfg Config) *Hub {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.NodeTimeout == 0 {
		cfg.NodeTimeout = defaultNodeTimeout
	}
	return &Hub{
		cfg: cfg, log: cfg.Logger, joining: make(chan struct{}, joinsAtOnce), unplaced: make(chan struct{}, 1),
		core: newCore(), liveness: newLiveness(cfg.NodeTimeout), reports: newReports(), states: newAgentStates(), relays: cfg.Relays, sessions: make(map[sessionID]*session),
		proxy: uuid.New(), vouched: make(map[uuid.UUID]int),
	}
}

// Run keeps liveness and reports written and forgets what is over, until ctx is done.
func (h *Hub) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { h.recordLiveness(ctx, h.log) })
	wg.Go(func() { h.recordReports(ctx, h.log) })
	wg.Go(func() { h.recordStates(ctx, h.log) })
	wg.Go(func() { h.giveUpOnAgents(ctx) })
	wg.Go(func() { h.placeNodes(ctx) })
	defer wg.Wait()
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.mu.Lock()
			h.deliver(h.core.expire(now))
			// The lost too: a session of many days may return, and its
			// connections live by its address.
			keep := slices.Collect(maps.Keys(h.core.nodes))
			h.mu.Unlock()
			if now.Sub(began) < forgetAfter {
				continue // who was here before a restart may still return
			}
			if _, err := h.cfg.Store.DeleteStaleClients(ctx, now.Add(-clientKept), keep); err != nil {
				h.log.DebugContext(ctx, "stale clients stay for now", "err", err)
			}
		}
	}
}

// deliver puts messages into the outboxes of their sessions. h.mu is held.
func (h *Hub) deliver(outs []out) {
	for _, o := range outs {
		if s := h.sessions[o.to]; s != nil {
			s.outbox.put(o.msg, o.end)
		}
	}
}

// SetRelays replaces the relay map that nodes get, and tells those that are here.
func (h *Hub) SetRelays(m *meshv1.Relays) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.relays = m
	for sid := range h.core.sessions {
		s := h.sessions[sid]
		s.outbox.put(h.relaysFor(s), false)
	}
}

// AgentDeleted ends an agent's session and links: its workspace is deleted.
func (h *Hub) AgentDeleted(id uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sid, s := range h.sessions {
		if s.who.AgentID == id {
			h.endSession(sid, workspaceDeleted) // also those of the workspace's clients
		}
	}
	h.deliver(h.core.revoke(id, workspaceDeleted))
	delete(h.liveness.agents, id)
}

// AgentsDeleted is AgentDeleted for several.
func (h *Hub) AgentsDeleted(ids []uuid.UUID) {
	for _, id := range ids {
		h.AgentDeleted(id)
	}
}

// What the owners of revoked sessions are told.
const (
	workspaceDeleted = "the workspace was deleted, or it has another owner and another token"
	tokenRevoked     = "the token was revoked or has expired; sign in again"
	userRevoked      = "what the account may do has changed, or it is no more; sign in again"
	clientExpired    = "the token of the workspace's programs has expired; come back with another"
)

// TokenRevoked ends the sessions that an API token opened.
func (h *Hub) TokenRevoked(id uuid.UUID) {
	h.endClients(tokenRevoked, func(who auth.Identity) bool { return who.TokenID == id })
}

// UserRevoked ends the sessions of a person. Those of their agents go on.
func (h *Hub) UserRevoked(id uuid.UUID) {
	h.endClients(userRevoked, func(who auth.Identity) bool { return who.UserID == id })
}

// endClients ends the sessions of some people, and says why.
func (h *Hub) endClients(why string, match func(auth.Identity) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sid, s := range h.sessions {
		if s.who.Kind != auth.User || !match(s.who) {
			continue
		}
		h.endSession(sid, why)
	}
}

// endSession ends a stream that may not be any more, also one that has yet to come
// in. h.mu is held.
func (h *Hub) endSession(id sessionID, why string) {
	s := h.sessions[id]
	if s == nil {
		return
	}
	s.revoked = why
	n := h.core.sessions[id]
	if n == nil {
		return
	}
	h.deliver(h.core.revoke(n.id, why))
	if n.agent {
		delete(h.liveness.agents, n.id)
	}
}

// Vouches reports whether a WireGuard key belongs to a node of the mesh.
func (h *Hub) Vouches(ctx context.Context, key [32]byte) (bool, error) {
	h.mu.Lock()
	known := h.core.hasKey(key)
	h.mu.Unlock()
	if known {
		return true, nil
	}
	return h.cfg.Store.NodeKeyKnown(ctx, key)
}

// Connect serves one control stream.
func (h *Hub) Connect(stream meshv1.Mesh_ConnectServer) error {
	who, ok := identity(stream.Context())
	if !ok {
		return errors.New("mesh: stream without an identity")
	}
	h.serve(who, stream)
	return nil
}

// serve serves a stream of somebody's.
func (h *Hub) serve(who auth.Identity, stream meshv1.Mesh_ConnectServer) {
	ctx := stream.Context()
	s := h.open(who, stream)
	defer s.outbox.close()
	bye := false
	defer func() { h.exit(ctx, s, bye) }()
	defer endExpired(who, s)()
	member, resume, refusal := h.admit(ctx, who, s, stream)
	if refusal == nil && member != nil {
		refusal = h.enter(s, *member, resume)
	}
	switch {
	case refusal != nil:
		s.outbox.put(refusal, true)
		return
	case member == nil:
		return // it went away before it said hello
	}
	h.log.InfoContext(ctx, "node joined", "node", member.id, "name", member.name, "agent", member.agent, "from", rpc.RemoteAddr(ctx))
	bye = h.listen(stream, s, *member)
}

// endExpired ends the stream of a client when its token ends; what it has open goes on, so
// that nobody notices who comes back with another. The function it returns calls that off.
func endExpired(who auth.Identity, s *session) (stop func()) {
	if who.Kind != auth.Client {
		return func() {}
	}
	t := time.AfterFunc(time.Until(who.Expires), func() {
		s.outbox.put(errorDown(meshv1.Error_UNAVAILABLE, "", clientExpired), true)
	})
	return func() { t.Stop() }
}

// listen takes what a node says until the stream ends, one way or another. What it
// is told goes out by its outbox.
func (h *Hub) listen(stream meshv1.Mesh_ConnectServer, s *session, m member) (bye bool) {
	for {
		up, err := stream.Recv()
		if err != nil {
			return false
		}
		if up.GetBye() != nil {
			return true
		}
		if err := h.onUp(stream.Context(), s.id, s.who, up); err != nil {
			h.log.WarnContext(stream.Context(), "node broke the protocol", "node", m.id, "name", m.name, "err", err)
			s.outbox.put(errorDown(meshv1.Error_BAD_MESSAGE, "", err.Error()), true)
			return false
		}
	}
}

// open notes a stream. Each has one exit.
func (h *Hub) open(who auth.Identity, stream meshv1.Mesh_ConnectServer) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	hangUp := func() { rpc.StopReceiving(stream.Context()) }
	s := &session{id: h.lastID, outbox: newOutbox(stream.Send, hangUp), who: who}
	h.sessions[s.id] = s
	return s
}

// enter brings a node in and welcomes it, or returns why not.
func (h *Hub) enter(s *session, m member, resume string) (refusal *meshv1.Down) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.revoked != "" {
		return errorDown(meshv1.Error_REVOKED, "", s.revoked)
	}
	if h.core.policy.Places() && s.place.known == nil {
		return errorDown(meshv1.Error_UNAVAILABLE, "", "the policy has just changed; try again")
	}
	s.outbox.put(m.welcome(resume), false)
	s.outbox.put(h.relaysFor(s), false)
	h.deliver(h.core.join(s.id, m))
	h.doubt(s)
	if m.agent {
		h.liveness.happened(m.id, agentJoined, time.Now())
	}
	return nil
}

func (h *Hub) exit(ctx context.Context, s *session, bye bool) {
	h.mu.Lock()
	m, left, outs := h.core.leave(s.id, bye, time.Now())
	h.deliver(outs)
	delete(h.sessions, s.id)
	if left && m.agent {
		event := agentBroke
		if bye {
			event = agentBye
		}
		h.liveness.happened(m.id, event, time.Now())
	}
	h.mu.Unlock()
	if !left {
		return // never entered, replaced or revoked
	}
	h.log.InfoContext(ctx, "node left", "node", m.id, "name", m.name, "bye", bye)
	if bye && !m.agent {
		if err := h.cfg.Store.LeaveClient(context.WithoutCancel(ctx), m.id); err != nil {
			h.log.DebugContext(ctx, "row of a client that left stays for a day", "err", err)
		}
	}
}

// onUp handles one message. An error ends the stream.
func (h *Hub) onUp(ctx context.Context, id sessionID, who auth.Identity, up *meshv1.Up) error {
	switch m := up.GetMsg().(type) {
	case *meshv1.Up_Self:
		h.mu.Lock()
		defer h.mu.Unlock()
		outs, err := h.core.setSelf(id, m.Self)
		h.deliver(outs)
		return err
	case *meshv1.Up_Want:
		return h.onWant(ctx, id, who, m.Want.GetPeer())
	case *meshv1.Up_Unwant:
		peer, err := uuid.Parse(m.Unwant.GetPeer())
		if err != nil {
			return fmt.Errorf("unwant of %.60q, which is no node id", m.Unwant.GetPeer())
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.deliver(h.core.unwant(id, peer))
	case *meshv1.Up_Ready:
		peer, err := uuid.Parse(m.Ready.GetPeer())
		if err != nil {
			return fmt.Errorf("ready for %.60q, which is no node id", m.Ready.GetPeer())
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.deliver(h.core.ready(id, peer))
	case *meshv1.Up_Verdict:
		peer, err := uuid.Parse(m.Verdict.GetPeer())
		if err != nil {
			return fmt.Errorf("verdict on %.60q, which is no node id", m.Verdict.GetPeer())
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if l := h.core.report(id, peer, m.Verdict, time.Now()); l != nil {
			h.reports.said(l)
		}
	case *meshv1.Up_Report:
		if who.Kind != auth.Agent {
			return errors.New("a report of a node that is no agent")
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if st := m.Report.GetState(); st != nil {
			if err := h.states.came(who.AgentID, st); err != nil {
				return err
			}
		}
		if err := h.reports.came(who.AgentID, m.Report, time.Now()); err != nil {
			return err
		}
		return h.reports.sessionsCame(who.AgentID, h.notByProxy(m.Report.GetSessions()), func(client string) uuid.UUID {
			return h.core.userOf(who.AgentID, client)
		})
	case *meshv1.Up_Hello:
		return errors.New("hello came twice")
	}
	return nil // or a message of a later version
}
