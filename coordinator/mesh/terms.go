package mesh

import (
	"slices"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/pkg/policy"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// maxPort is the highest one.
const maxPort = 65535

// terms are what decides what may pass by a link, but for the policy.
type terms struct {
	who  policy.Person     // whose client it is,
	from *policy.Workspace // or which workspace's, in place of that
	to   policy.Workspace
	// sshOnly says that the agent's template forbids forwarding.
	sshOnly bool
	// vouched says that it is the coordinator's own node, which acts for people and looks
	// itself at what each of them may.
	vouched bool
}

// admitted is what the client may send to the agent.
func (t terms) admitted(p *policy.Policy) []*meshv1.Allow {
	may := mayPass(t.sshOnly)
	if t.from != nil {
		return narrow(may, p.Links(*t.from, t.to))
	}
	if t.vouched || !p.Narrows() {
		return may
	}
	return narrow(may, p.Admits(t.who, t.to))
}

// narrow leaves of what a client may send to an agent what the policy admits, too.
func narrow(may []*meshv1.Allow, admitted []policy.Ports) []*meshv1.Allow {
	var both []*meshv1.Allow
	for _, m := range may {
		for _, p := range admitted {
			if a := overlap(m, p); a != nil {
				both = append(both, a)
			}
		}
	}
	return both
}

// overlap is what both admit; nil for nothing.
func overlap(m *meshv1.Allow, p policy.Ports) *meshv1.Allow {
	protocol := map[policy.Protocol]meshv1.Allow_Protocol{
		policy.TCP: meshv1.Allow_TCP, policy.UDP: meshv1.Allow_UDP, policy.ICMP: meshv1.Allow_ICMP,
	}[p.Protocol]
	if m.GetProtocol() != meshv1.Allow_ANY && m.GetProtocol() != protocol {
		return nil
	}
	if protocol == meshv1.Allow_ICMP {
		return &meshv1.Allow{Protocol: protocol}
	}
	first, last := m.GetFirstPort(), m.GetLastPort()
	if first == 0 && last == 0 {
		last = maxPort
	}
	first, last = max(first, uint32(p.First)), min(last, uint32(p.Last))
	if first > last {
		return nil
	}
	return &meshv1.Allow{Protocol: protocol, FirstPort: first, LastPort: last}
}

// setPolicy replaces the policy and tells agents what their clients may send from now on.
func (c *core) setPolicy(p *policy.Policy) []out {
	c.policy = p
	var outs []out
	for _, n := range c.nodes {
		if n.agent {
			continue
		}
		for _, l := range n.links {
			outs = append(outs, c.retell(l)...)
		}
	}
	return outs
}

// reconsider replaces the terms of a link, if there is one.
func (c *core) reconsider(client, agent uuid.UUID, t terms) []out {
	n := c.nodes[client]
	if n == nil || n.links[agent] == nil || n.links[agent].client != n {
		return nil
	}
	return c.setTerms(n.links[agent], t)
}

// isCalled says what the workspace of an agent, or of a client, is called now, on which the
// policy may have another word.
func (c *core) isCalled(id uuid.UUID, workspace, owner string) []out {
	n := c.nodes[id]
	if n == nil {
		return nil
	}
	var outs []out
	for _, l := range n.links {
		t := l.terms
		if n == l.agent {
			t.to.Name, t.to.Owner.Name = workspace, owner
		} else if t.from != nil {
			from := *t.from
			from.Name, from.Owner.Name = workspace, owner
			t.from = &from
		}
		outs = append(outs, c.setTerms(l, t)...)
	}
	return outs
}

// setTerms replaces a link's terms.
func (c *core) setTerms(l *link, t terms) []out {
	l.terms = t
	return c.retell(l)
}

// retell tells the agent what the client may send, if that is not what it knows.
func (c *core) retell(l *link) []out {
	now := l.terms.admitted(c.policy)
	if slices.EqualFunc(l.told, now, sameAllow) {
		return nil
	}
	l.told = now
	if l.agent.session == 0 {
		return nil
	}
	return []out{{to: l.agent.session, msg: policyDown(l.client, now)}}
}

func sameAllow(a, b *meshv1.Allow) bool {
	return a.GetProtocol() == b.GetProtocol() && a.GetFirstPort() == b.GetFirstPort() && a.GetLastPort() == b.GetLastPort()
}

// policyDown says what a node may send.
func policyDown(about *node, allow []*meshv1.Allow) *meshv1.Down {
	return &meshv1.Down{Msg: &meshv1.Down_Policy{Policy: &meshv1.Policy{Peer: about.id.String(), Allow: allow}}}
}
