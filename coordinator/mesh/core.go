package mesh

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/pkg/policy"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// Limits on what one node may ask for.
const (
	maxEndpoints      = 32
	maxEndpointLen    = 64 // an IPv6 address with a zone and a port
	maxCapabilities   = 32
	maxCapabilityLen  = 64
	maxRelayLatencies = 64

	// maxWants bounds the peers a client may ask for, and maxLinks the clients
	// that may be linked to an agent.
	maxWants = 1024
	maxLinks = 4096
)

// forgetAfter is how long a node whose stream broke is kept for its peers:
// they keep its tunnel for as long after the last handshake.
const forgetAfter = 15 * time.Minute

// sessionID names one Connect stream. Zero is none.
type sessionID uint64

// member is what joining tells of a node.
type member struct {
	id    uuid.UUID
	user  uuid.UUID // the person, or the owner of the agent's workspace
	agent bool
	// token is what a person's client came with; workspace is an agent's, and that whose
	// client it is, if it came with the token of its agent, which is by.
	token, workspace, by uuid.UUID
	name                 string
	terms                terms // of an agent that is wanted
	addr                 netip.Addr
	key                  [32]byte
	disco                [32]byte
	protocol             uint32 // what its session speaks
}

// welcome accepts a member, or tells it what it is called now.
func (m *member) welcome(resume string) *meshv1.Down {
	return &meshv1.Down{Msg: &meshv1.Down_Welcome{Welcome: &meshv1.Welcome{
		NodeId: m.id.String(), Address: m.addr.String(), ResumeToken: resume, Name: m.name, Protocol: m.protocol,
	}}}
}

// node is a member with its state on the mesh.
//
//	(absent) ──want──▶ away ──join──▶ here ──break──▶ lost
//	                    ▲              ▲ │              │
//	                    └───bye────────┼─┘              │
//	                                   └──────join──────┘
//
// An agent that is away is remembered for the clients that want it. Clients
// that say bye, and the lost after forgetAfter, are forgotten.
type node struct {
	member
	session sessionID // zero unless here
	lostAt  time.Time // zero unless lost
	self    *meshv1.Self
	links   map[uuid.UUID]*link // by the other end's id
}

// link joins a client to an agent that its user may reach.
type link struct {
	client, agent *node
	terms         terms
	told          []*meshv1.Allow // what the agent was told last that the client may send
	// clientReady says that the client has programmed the agent's present
	// key; agentReady the reverse.
	clientReady, agentReady bool
	// byClient and byAgent are what each said last of the path; nil for
	// nothing yet.
	byClient, byAgent *View
}

func (l *link) other(n *node) *node {
	if n == l.client {
		return l.agent
	}
	return l.client
}

// readyBy returns the flag that n sets.
func (l *link) readyBy(n *node) *bool {
	if n == l.client {
		return &l.clientReady
	}
	return &l.agentReady
}

// out is a message for a session. After one with end set nothing follows.
type out struct {
	to  sessionID
	msg *meshv1.Down
	end bool
}

// core knows who is on the mesh and who is linked to whom. It does no I/O and
// takes no locks: each method is one event, and returns what to tell whom, in
// that order.
type core struct {
	nodes    map[uuid.UUID]*node
	sessions map[sessionID]*node
	keys     map[[32]byte]*node // who holds which; setKeys keeps it
	visitors map[visit]visitor
	policy   *policy.Policy // nil takes nothing away
}

func newCore() *core {
	return &core{nodes: make(map[uuid.UUID]*node), sessions: make(map[sessionID]*node), keys: make(map[[32]byte]*node), visitors: make(map[visit]visitor)}
}

// setKeys gives a node its keys, or takes them with zeros, and reports whether
// they are others than before.
func (c *core) setKeys(n *node, key, disco [32]byte) (changed bool) {
	if n.key == key && n.disco == disco && (c.keys[key] == n || key == [32]byte{}) {
		return false
	}
	if c.keys[n.key] == n { // else another has taken it over
		delete(c.keys, n.key)
	}
	if key != ([32]byte{}) {
		c.keys[key] = n
	}
	changed = n.key != key || n.disco != disco
	n.key, n.disco = key, disco
	return changed
}

// join brings a node in, or back, on a session. An older session of the same
// node is ended: the newer wins.
func (c *core) join(s sessionID, m member) []out {
	var outs []out
	n := c.nodes[m.id]
	if n == nil {
		n = &node{links: make(map[uuid.UUID]*link)}
		c.nodes[m.id] = n
	}
	if n.session != 0 {
		delete(c.sessions, n.session)
		outs = append(outs, out{n.session, errorDown(meshv1.Error_REPLACED, "", replacedBy(m)), true})
	}
	keyChanged := c.setKeys(n, m.key, m.disco)
	n.member, n.session, n.lostAt, n.self = m, s, time.Time{}, &meshv1.Self{}
	c.sessions[s] = n
	for _, l := range n.links {
		*l.readyBy(n) = false // it says so again in each session
		if keyChanged {
			*l.readyBy(l.other(n)) = false
		}
		outs = append(outs, c.introduce(l)...)
	}
	return outs
}

func replacedBy(m member) string {
	if m.agent {
		return "another agent connected with this token; run one agent a workspace, or create another workspace"
	}
	return "another process resumed this session"
}

// introduce tells both ends of a link of each other, in the same breath, with
// what each may send.
func (c *core) introduce(l *link) []out {
	var outs []out
	for _, viewer := range []*node{l.agent, l.client} {
		about := l.other(viewer)
		if viewer.session == 0 {
			continue
		}
		var allow []*meshv1.Allow
		if viewer == l.agent {
			l.told = l.terms.admitted(c.policy)
			allow = l.told
		}
		outs = append(outs, out{to: viewer.session, msg: policyDown(about, allow)}, out{to: viewer.session, msg: l.peerDown(about)})
	}
	return outs
}

// tellAbout tells every linked peer of n's present state.
func (c *core) tellAbout(n *node) []out {
	var outs []out
	for _, l := range n.links {
		if viewer := l.other(n); viewer.session != 0 {
			outs = append(outs, out{to: viewer.session, msg: l.peerDown(n)})
		}
	}
	return outs
}

// peerDown is what the other end of l gets to know of n.
func (l *link) peerDown(n *node) *meshv1.Down {
	p := &meshv1.Peer{
		Id: n.id.String(), Name: n.name, State: meshv1.Peer_LOST, Ready: *l.readyBy(n),
		Addresses: []string{n.addr.String()},
	}
	if n.session != 0 {
		p.State = meshv1.Peer_HERE
	}
	if n.key != ([32]byte{}) {
		p.PublicKey, p.DiscoKey = bytes.Clone(n.key[:]), bytes.Clone(n.disco[:])
	}
	if n.self != nil {
		p.Endpoints, p.HomeRelay = n.self.GetEndpoints(), n.self.GetHomeRelay()
		p.Capabilities, p.Nat = n.self.GetCapabilities(), n.self.GetNat()
	}
	return &meshv1.Down{Msg: &meshv1.Down_Peer{Peer: p}}
}

// leave ends a session. With bye the peers are told gone, else lost. It
// reports the node, unless another session had taken its place.
func (c *core) leave(s sessionID, bye bool, now time.Time) (m member, left bool, outs []out) {
	n := c.sessions[s]
	if n == nil {
		return member{}, false, nil
	}
	delete(c.sessions, s)
	n.session = 0
	if !bye {
		n.lostAt = now
		return n.member, true, c.tellAbout(n)
	}
	outs = c.goneToPeers(n)
	if n.agent && len(n.links) > 0 {
		n.self = nil
		c.setKeys(n, [32]byte{}, [32]byte{})
		return n.member, true, outs
	}
	c.forget(n)
	return n.member, true, outs
}

// goneToPeers tells the peers of n that it is gone. The wants of clients stay.
func (c *core) goneToPeers(n *node) []out {
	var outs []out
	for _, l := range n.links {
		if viewer := l.other(n); viewer.session != 0 {
			outs = append(outs, out{to: viewer.session, msg: goneDown(n.id)})
		}
		l.clientReady, l.agentReady = false, false
	}
	return outs
}

func goneDown(id uuid.UUID) *meshv1.Down {
	return &meshv1.Down{Msg: &meshv1.Down_Peer{Peer: &meshv1.Peer{Id: id.String(), State: meshv1.Peer_GONE}}}
}

// forget drops a node and its links.
func (c *core) forget(n *node) {
	for _, l := range n.links {
		other := l.other(n)
		delete(other.links, n.id)
		c.dropIfUnwanted(other)
	}
	clear(n.links)
	c.setKeys(n, [32]byte{}, [32]byte{})
	delete(c.nodes, n.id)
}

// dropIfUnwanted drops an agent that is away and that nobody wants any more.
func (c *core) dropIfUnwanted(n *node) {
	if n.session == 0 && n.lostAt.IsZero() && len(n.links) == 0 {
		delete(c.nodes, n.id)
	}
}

// revoke ends a node's session and its links: its token was revoked or its
// workspace deleted.
func (c *core) revoke(id uuid.UUID, why string) []out {
	n := c.nodes[id]
	if n == nil {
		return nil
	}
	outs := c.goneToPeers(n)
	if n.session != 0 {
		outs = append(outs, out{n.session, errorDown(meshv1.Error_REVOKED, "", why), true})
		delete(c.sessions, n.session)
		n.session = 0
	}
	c.forget(n)
	return outs
}

// expire forgets the nodes that were lost too long ago.
func (c *core) expire(now time.Time) []out {
	c.forgetVisitors(now)
	var outs []out
	for _, n := range c.nodes {
		if n.lostAt.IsZero() || now.Sub(n.lostAt) < forgetAfter {
			continue
		}
		outs = append(outs, c.goneToPeers(n)...)
		n.lostAt = time.Time{}
		if n.agent && len(n.links) > 0 {
			n.self = nil
			c.setKeys(n, [32]byte{}, [32]byte{})
			continue
		}
		c.forget(n)
	}
	return outs
}

// setSelf notes how a node can be reached and tells its peers at once.
func (c *core) setSelf(s sessionID, self *meshv1.Self) ([]out, error) {
	n := c.sessions[s]
	if n == nil {
		return nil, nil
	}
	if err := checkSelf(self); err != nil {
		return nil, err
	}
	n.self = self
	return c.tellAbout(n), nil
}

func checkSelf(self *meshv1.Self) error {
	if n := len(self.GetEndpoints()); n > maxEndpoints {
		return fmt.Errorf("%d endpoints, at most %d are allowed", n, maxEndpoints)
	}
	for _, e := range self.GetEndpoints() {
		if _, err := netip.ParseAddrPort(e); err != nil || len(e) > maxEndpointLen {
			return fmt.Errorf("endpoint %.60q is no address and port", e)
		}
	}
	if n := len(self.GetCapabilities()); n > maxCapabilities {
		return fmt.Errorf("%d capabilities, at most %d are allowed", n, maxCapabilities)
	}
	for _, s := range self.GetCapabilities() {
		if len(s) > maxCapabilityLen {
			return fmt.Errorf("a capability of %d bytes, at most %d are allowed", len(s), maxCapabilityLen)
		}
	}
	if n := len(self.GetRelayLatencies()); n > maxRelayLatencies {
		return fmt.Errorf("%d relay latencies, at most %d are allowed", n, maxRelayLatencies)
	}
	return nil
}

// want links a client to an agent that the caller found it may reach. An agent
// that never joined is known by what target says of it.
func (c *core) want(s sessionID, target member) ([]out, error) {
	n := c.sessions[s]
	if n == nil {
		return nil, nil
	}
	if l := n.links[target.id]; l != nil {
		l.terms = target.terms
		return c.introduce(l), nil
	}
	if len(n.links) >= maxWants {
		return nil, fmt.Errorf("%d peers wanted, at most %d are allowed", len(n.links)+1, maxWants)
	}
	agent := c.nodes[target.id]
	if agent == nil {
		agent = &node{member: target, links: make(map[uuid.UUID]*link)}
		c.nodes[target.id] = agent
	}
	if len(agent.links) >= maxLinks {
		return []out{{to: s, msg: errorDown(meshv1.Error_UNAVAILABLE, target.id.String(), "the agent has as many clients as it can take")}}, nil
	}
	l := &link{client: n, agent: agent, terms: target.terms}
	n.links[agent.id], agent.links[n.id] = l, l
	c.visitors[visit{agent.id, n.id}] = visitor{user: n.user}
	return c.introduce(l), nil
}

// unwant gives a link up; both ends are told gone. Only the client may.
func (c *core) unwant(s sessionID, peer uuid.UUID) []out {
	n := c.sessions[s]
	if n == nil || n.links[peer] == nil || n.links[peer].client != n {
		return nil
	}
	agent := n.links[peer].agent
	delete(n.links, peer)
	delete(agent.links, n.id)
	outs := []out{{to: s, msg: goneDown(peer)}}
	if agent.session != 0 {
		outs = append(outs, out{to: agent.session, msg: goneDown(n.id)})
	}
	c.dropIfUnwanted(agent)
	return outs
}

// cut ends a link that may not be any more; both ends are told gone.
func (c *core) cut(clientID, agentID uuid.UUID) []out {
	client := c.nodes[clientID]
	if client == nil || client.links[agentID] == nil || client.links[agentID].client != client {
		return nil
	}
	agent := client.links[agentID].agent
	delete(client.links, agentID)
	delete(agent.links, clientID)
	var outs []out
	if agent.session != 0 {
		outs = append(outs, out{to: agent.session, msg: goneDown(clientID)})
	}
	if client.session != 0 {
		outs = append(outs, out{to: client.session, msg: goneDown(agentID)})
	}
	c.dropIfUnwanted(agent)
	return outs
}

// rename gives a node another name and tells its peers.
func (c *core) rename(id uuid.UUID, name string) []out {
	n := c.nodes[id]
	if n == nil || n.name == name {
		return nil
	}
	n.name = name
	outs := c.tellAbout(n)
	if n.session != 0 { // it is welcome by that name
		outs = append(outs, out{to: n.session, msg: n.welcome("")})
	}
	return outs
}

// ready notes that a node has programmed a peer, and tells the peer, who may
// then start a handshake.
func (c *core) ready(s sessionID, peer uuid.UUID) []out {
	n := c.sessions[s]
	if n == nil || n.links[peer] == nil {
		return nil
	}
	l := n.links[peer]
	if flag := l.readyBy(n); !*flag {
		*flag = true
		if other := l.other(n); other.session != 0 {
			return []out{{to: other.session, msg: l.peerDown(n)}}
		}
	}
	return nil
}

// hasKey reports whether a node, here or lost, holds the key.
func (c *core) hasKey(key [32]byte) bool {
	return c.keys[key] != nil
}

func errorDown(code meshv1.Error_Code, peer, message string) *meshv1.Down {
	return &meshv1.Down{Msg: &meshv1.Down_Error{Error: &meshv1.Error{Code: code, Peer: peer, Message: message}}}
}
