package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/policy"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// onWant links a client to an agent, if it may. Whether an agent does not
// exist, is somebody else's, or is asked for by an agent: the answer is one.
func (h *Hub) onWant(ctx context.Context, id sessionID, who auth.Identity, peer string) error {
	agentID, err := uuid.Parse(peer)
	if err != nil {
		return fmt.Errorf("want of %.60q, which is no node id", peer)
	}
	for {
		h.mu.Lock()
		epoch := h.epoch
		h.mu.Unlock()
		var a store.MeshAgent
		var t *terms
		if by := h.clientOf(id); by != uuid.Nil {
			a, t, err = h.mayFollow(ctx, by, agentID)
		} else {
			a, t, err = h.mayReach(ctx, who, agentID)
		}
		h.mu.Lock()
		if h.epoch == epoch || t == nil {
			defer h.mu.Unlock()
			return h.answerWant(id, peer, a, t, err)
		}
		h.mu.Unlock() // access may have changed since it was looked at
	}
}

// answerWant links a client that may reach an agent, on some terms, and says so if it may
// not. h.mu is held.
func (h *Hub) answerWant(id sessionID, peer string, a store.MeshAgent, t *terms, err error) error {
	switch {
	case err != nil:
		h.deliver([]out{{to: id, msg: errorDown(meshv1.Error_UNAVAILABLE, peer, "the database is away; ask again in a moment")}})
	case t == nil:
		h.deliver([]out{{to: id, msg: errorDown(meshv1.Error_PEER_NOT_FOUND, peer, "no such peer, or not yours to reach")}})
	default:
		outs, err := h.core.want(id, member{
			id: a.ID, user: a.OwnerID, agent: true, workspace: a.WorkspaceID, name: agentName(a.AgentName, a.WorkspaceName, a.OwnerName), addr: meshaddr.FromID(a.ID),
			terms: *t,
		})
		h.deliver(outs)
		return err
	}
	return nil
}

// Ports of an agent that stay open where forwarding is forbidden: SSH, which refuses
// it itself, files, and speed tests.
const (
	portSSH   = 22
	portPages = 7076
	portFiles = 7077
	portSpeed = 7078
)

// mayPass is what a client may send to an agent.
func mayPass(sshOnly bool) []*meshv1.Allow {
	if !sshOnly {
		return []*meshv1.Allow{{Protocol: meshv1.Allow_ANY}}
	}
	return []*meshv1.Allow{
		{Protocol: meshv1.Allow_ICMP},
		{Protocol: meshv1.Allow_TCP, FirstPort: portSSH, LastPort: portSSH},
		{Protocol: meshv1.Allow_TCP, FirstPort: portPages, LastPort: portPages},
		{Protocol: meshv1.Allow_TCP, FirstPort: portFiles, LastPort: portFiles},
		{Protocol: meshv1.Allow_TCP, FirstPort: portSpeed, LastPort: portSpeed},
		{Protocol: meshv1.Allow_UDP, FirstPort: portSpeed, LastPort: portSpeed},
	}
}

// forbidsForwarding reads an agent's manifest. One that cannot be read forbids.
func forbidsForwarding(manifest []byte) bool {
	var m struct {
		ForbidForwarding bool `json:"forbidForwarding"`
	}
	return len(manifest) > 0 && json.Unmarshal(manifest, &m) != nil || m.ForbidForwarding
}

// mayReach returns the terms on which somebody may reach an agent, nil if they may not, by
// what they are now and not by what they were when their stream began. An error is the
// database's. What the policy takes away is nobody's secret, and so no reason to deny that
// there is such an agent: the agent's node refuses it, and says so.
func (h *Hub) mayReach(ctx context.Context, who auth.Identity, agentID uuid.UUID) (store.MeshAgent, *terms, error) {
	if who.Kind != auth.User && who.Kind != auth.Proxy {
		return store.MeshAgent{}, nil, nil
	}
	a, err := h.cfg.Store.LiveAgent(ctx, agentID)
	if errors.Is(err, store.ErrNotFound) {
		return a, nil, nil
	}
	if err != nil {
		return a, nil, err
	}
	if who.Kind == auth.Proxy {
		if !h.isVouched(agentID) {
			return a, nil, nil
		}
		return a, &terms{vouched: true, sshOnly: forbidsForwarding(a.Manifest)}, nil
	}
	t, err := h.cfg.Store.LiveToken(ctx, who.TokenID)
	if errors.Is(err, store.ErrNotFound) {
		return a, nil, nil
	}
	if err != nil {
		return a, nil, err
	}
	what := auth.Object{Type: auth.Workspace, Instance: true, Owner: a.OwnerID, Organization: a.OrganizationID}
	if a.OwnerID != t.UserID {
		level, err := h.cfg.Store.GrantOf(ctx, t.UserID, a.WorkspaceID)
		if err != nil {
			return a, nil, err
		}
		what.Grant = auth.Grant(level)
	}
	if !auth.Allowed(auth.OfToken(t), auth.Connect, what) {
		return a, nil, nil
	}
	on, err := h.termsOf(ctx, auth.OfToken(t), a)
	return a, &on, err
}

// clientOf is the agent by whose token a workspace's client came; zero of others.
func (h *Hub) clientOf(id sessionID) uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.core.sessions[id]; n != nil {
		return n.by
	}
	return uuid.Nil
}

// mayFollow returns the terms on which the client of an agent's workspace may reach another
// agent, nil if no link of the policy leads there.
func (h *Hub) mayFollow(ctx context.Context, by, agentID uuid.UUID) (store.MeshAgent, *terms, error) {
	from, err := h.cfg.Store.LiveAgent(ctx, by)
	if errors.Is(err, store.ErrNotFound) {
		return from, nil, nil
	}
	if err != nil {
		return from, nil, err
	}
	a, err := h.cfg.Store.LiveAgent(ctx, agentID)
	if errors.Is(err, store.ErrNotFound) {
		return a, nil, nil
	}
	if err != nil {
		return a, nil, err
	}
	t := terms{from: new(policy.Workspace), sshOnly: forbidsForwarding(a.Manifest)}
	if *t.from, err = h.workspaceOf(ctx, from); err != nil {
		return a, nil, err
	}
	if t.to, err = h.workspaceOf(ctx, a); err != nil {
		return a, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(t.admitted(h.core.policy)) == 0 {
		return a, nil, nil
	}
	return a, &t, nil
}

// workspaceOf is an agent's workspace as the policy sees it.
func (h *Hub) workspaceOf(ctx context.Context, a store.MeshAgent) (policy.Workspace, error) {
	groups, err := h.cfg.Store.GroupNamesOf(ctx, a.OwnerID)
	return policy.Workspace{Owner: policy.Person{Name: a.OwnerName, Groups: groups}, Name: a.WorkspaceName, Templates: a.Templates}, err
}

// Links reports whether the policy lets the workspace of one agent reach another agent.
func (h *Hub) Links(ctx context.Context, from, to uuid.UUID) (bool, error) {
	_, t, err := h.mayFollow(ctx, from, to)
	return t != nil, err
}

// termsOf are those on which somebody, who may be nobody, reaches an agent.
func (h *Hub) termsOf(ctx context.Context, who auth.Identity, a store.MeshAgent) (t terms, err error) {
	t.sshOnly = forbidsForwarding(a.Manifest)
	if who.Kind == auth.User {
		t.who.Name = who.Username
		if t.who.Groups, err = h.cfg.Store.GroupNamesOf(ctx, who.UserID); err != nil {
			return t, err
		}
	}
	t.to, err = h.workspaceOf(ctx, a)
	return t, err
}

// PolicyAdmits reports whether the policy lets somebody, who may be nobody, reach a TCP port
// of an agent, for those who go there by the coordinator's own node.
func (h *Hub) PolicyAdmits(ctx context.Context, who auth.Identity, agentID uuid.UUID, port uint16) (bool, error) {
	h.mu.Lock()
	p := h.core.policy
	h.mu.Unlock()
	if !p.Narrows() {
		return true, nil
	}
	a, err := h.cfg.Store.LiveAgent(ctx, agentID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t, err := h.termsOf(ctx, who, a)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(t.admitted(p), func(a *meshv1.Allow) bool {
		return a.GetProtocol() == meshv1.Allow_TCP && a.GetFirstPort() <= uint32(port) && uint32(port) <= a.GetLastPort()
	}), nil
}

// SetPolicy replaces the policy, which holds at once for all links there are, and for where
// nodes are to be reached.
func (h *Hub) SetPolicy(p *policy.Policy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deliver(h.core.setPolicy(p))
	for sid := range h.core.sessions {
		h.place(h.sessions[sid])
	}
}

// Access says whose streams and links are to be looked at again: those of some
// users, links to some workspaces, and streams of some agents and of those of
// workspaces that are deleted or given away.
type Access struct {
	All                              bool
	Users, Workspaces, Agents, Given map[uuid.UUID]bool
	// Left are users who are no longer in an organization: what they opened while
	// they were ends, whatever else they may.
	Left map[Leaver]bool
}

// Leaver is a user who has left an organization.
type Leaver struct{ User, Organization uuid.UUID }

// Nobody reports whether there is nothing to look at.
func (a Access) Nobody() bool {
	return !a.All && len(a.Users)+len(a.Workspaces)+len(a.Agents)+len(a.Given)+len(a.Left) == 0
}

// HasLeft reports whether somebody was in an organization, when it was asked who
// they are, that they have left.
func (a Access) HasLeft(who auth.Identity) bool {
	for l := range a.Left {
		if _, was := who.Organizations[l.Organization]; was && who.Kind == auth.User && who.UserID == l.User {
			return true
		}
	}
	return false
}

// Recheck ends the streams of those whose tokens are good no longer, and the links of
// clients that may not reach their agents any more, also those of clients that are
// lost, for their tunnels live on; and it looks at what the policy says of the others,
// whose groups may be others. An error says that the database could not tell of
// some, which are to be looked at again.
func (h *Hub) Recheck(ctx context.Context, which Access) error {
	if which.Nobody() {
		return nil
	}
	failed := h.recheckSessions(ctx, which)
	suspects := h.suspects(which)
	h.forgetPlaces(func(n *node) bool {
		return which.All || which.Users[n.user] || which.Workspaces[n.workspace] || which.Agents[n.id] || which.Agents[n.by]
	})
	for _, l := range suspects {
		var t *terms
		var err error
		if l.by != uuid.Nil {
			_, t, err = h.mayFollow(ctx, l.by, l.agent)
		} else {
			_, t, err = h.mayReach(ctx, auth.Identity{Kind: auth.User, TokenID: l.token}, l.agent)
		}
		if err != nil {
			failed = fmt.Errorf("mesh: recheck access: %w", err)
			continue
		}
		h.mu.Lock()
		if t != nil {
			h.deliver(h.core.reconsider(l.client, l.agent, *t))
			h.mu.Unlock()
			continue
		}
		h.deliver(h.core.cut(l.client, l.agent))
		h.mu.Unlock()
		h.log.InfoContext(ctx, "a client may not reach an agent any more", "client", l.client, "agent", l.agent)
	}
	return failed
}

// recheckSessions ends streams that another coordinator may have ended access for.
func (h *Hub) recheckSessions(ctx context.Context, which Access) error {
	var failed error
	for id, who := range h.doubtful(which) {
		why, err := h.revoked(ctx, which, who)
		if err != nil {
			failed = fmt.Errorf("mesh: recheck a stream: %w", err)
		}
		if why == "" {
			continue
		}
		h.mu.Lock()
		h.endSession(id, why)
		h.mu.Unlock()
	}
	return failed
}

// doubtful are the streams to look at again, and whose they are.
func (h *Hub) doubtful(which Access) map[sessionID]auth.Identity {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make(map[sessionID]auth.Identity)
	for id, s := range h.sessions {
		doubt := which.All || which.HasLeft(s.who)
		switch {
		case s.who.Kind == auth.Proxy: // it lives as long as this process
			doubt = false
		case s.who.Kind == auth.User:
			doubt = doubt || which.Users[s.who.UserID]
		case which.Agents[s.who.AgentID]:
			doubt = true
		default: // its workspace is not known before it has come in
			n := h.core.sessions[id]
			doubt = doubt || len(which.Given) > 0 && (n == nil || which.Given[n.workspace])
		}
		if doubt {
			list[id] = s.who
		}
	}
	return list
}

// revoked says why somebody's stream has to end, by what their token is now; empty
// if it may go on.
func (h *Hub) revoked(ctx context.Context, which Access, who auth.Identity) (why string, err error) {
	if who.Kind == auth.Agent || who.Kind == auth.Client {
		a, err := h.cfg.Store.LiveAgent(ctx, who.AgentID)
		// One that is locked out by a build that stops its workspace has its scripts
		// to run, and is ended by that build.
		lockedOut := who.Kind == auth.Agent && len(a.TokenHash) == 0 && which.All
		if errors.Is(err, store.ErrNotFound) || err == nil && !lockedOut && auth.MarkOf(a.TokenHash) != who.AgentToken {
			return workspaceDeleted, nil
		}
		return "", err
	}
	if which.HasLeft(who) {
		return userRevoked, nil
	}
	_, err = h.cfg.Store.LiveToken(ctx, who.TokenID)
	if errors.Is(err, store.ErrNotFound) {
		return tokenRevoked, nil
	}
	return "", err
}

// Renamed tells the peers of agents what those are called now. Names are by
// workspace.
func (h *Hub) Renamed(ctx context.Context, names map[uuid.UUID]string) error {
	var failed error
	for id, agent := range h.misnamed(names) {
		a, err := h.cfg.Store.LiveAgent(ctx, agent)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			failed = fmt.Errorf("mesh: new name of an agent: %w", err)
			continue
		}
		h.mu.Lock()
		h.deliver(h.core.rename(id, agentName(a.AgentName, a.WorkspaceName, a.OwnerName)))
		h.deliver(h.core.isCalled(id, a.WorkspaceName, a.OwnerName))
		h.mu.Unlock()
	}
	h.forgetPlaces(func(n *node) bool { _, ok := names[n.workspace]; return ok })
	return failed
}

// misnamed lists the agents of workspaces that are called otherwise now, and the clients of
// those, each with the agent that it is called by.
func (h *Hub) misnamed(names map[uuid.UUID]string) map[uuid.UUID]uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make(map[uuid.UUID]uuid.UUID)
	for id, n := range h.core.nodes {
		if name, ok := names[n.workspace]; !ok || strings.Contains(n.name, "."+name+".") {
			continue
		}
		if n.agent {
			list[id] = id
		} else if n.by != uuid.Nil {
			list[id] = n.by
		}
	}
	return list
}

// suspect is a link that may have to end.
type suspect struct{ client, agent, token, by uuid.UUID }

// suspects lists links to look at again. What is about to be linked is looked at
// again, too.
func (h *Hub) suspects(which Access) []suspect {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch++
	var list []suspect
	for _, n := range h.core.nodes {
		if n.agent || n.id == h.proxy { // who vouched looks again
			continue
		}
		for _, l := range n.links {
			if which.All || which.Users[n.user] || which.Users[l.agent.user] || which.Workspaces[l.agent.workspace] ||
				n.by != uuid.Nil && (which.Agents[n.by] || which.Workspaces[n.workspace]) {
				list = append(list, suspect{n.id, l.agent.id, n.token, n.by})
			}
		}
	}
	return list
}
