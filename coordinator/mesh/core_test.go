package mesh

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// Fixed members; their ids start with the letter they are called by.
var (
	agentA  = testMember('a', true)
	clientC = testMember('c', false)
	clientD = testMember('d', false)
)

func testMember(letter byte, agent bool) member {
	var id uuid.UUID
	for i := range id {
		id[i] = letter
	}
	return member{
		id: id, agent: agent, name: string(letter), addr: meshaddr.FromID(id),
		key: [32]byte{letter, 1}, disco: [32]byte{letter, 2},
	}
}

// script renders messages one a line, as a reader would tell them:
// "1: peer a here ready". Sessions are their numbers.
func script(outs []out) string {
	var b strings.Builder
	for _, o := range outs {
		fmt.Fprintf(&b, "%d: %s", o.to, render(o.msg))
		if o.end {
			b.WriteString(" END")
		}
		b.WriteByte('\n')
	}
	return strings.TrimSpace(b.String())
}

func render(m *meshv1.Down) string {
	letter := func(id string) string {
		u, err := uuid.Parse(id)
		if err != nil {
			return id
		}
		return string(u[0])
	}
	switch m := m.GetMsg().(type) {
	case *meshv1.Down_Peer:
		s := "peer " + letter(m.Peer.GetId()) + " " + strings.ToLower(m.Peer.GetState().String())
		if len(m.Peer.GetPublicKey()) == 0 && m.Peer.GetState() != meshv1.Peer_GONE {
			s += " keyless"
		}
		if m.Peer.GetReady() {
			s += " ready"
		}
		if e := m.Peer.GetEndpoints(); len(e) > 0 {
			s += " at " + strings.Join(e, ",")
		}
		return s
	case *meshv1.Down_Policy:
		if len(m.Policy.GetAllow()) == 0 {
			return "policy " + letter(m.Policy.GetPeer()) + " none"
		}
		return "policy " + letter(m.Policy.GetPeer()) + " " + strings.ToLower(m.Policy.GetAllow()[0].GetProtocol().String())
	case *meshv1.Down_Welcome:
		return "welcome " + letter(m.Welcome.GetNodeId()) + " as " + m.Welcome.GetName()
	case *meshv1.Down_Error:
		return strings.TrimSpace("error " + m.Error.GetCode().String() + " " + letter(m.Error.GetPeer()))
	default:
		return fmt.Sprint(m)
	}
}

// expect compares what an event gave rise to with the script.
func expect(t *testing.T, event string, outs []out, want ...string) {
	t.Helper()
	if got := script(outs); got != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", event, got, strings.Join(want, "\n"))
	}
}

func must(outs []out, err error) []out {
	if err != nil {
		panic(err)
	}
	return outs
}

// linked is a core in which agent a (session 1) and client c (session 2) are
// linked and ready.
func linked() *core {
	c := newCore()
	c.join(1, agentA)
	c.join(2, clientC)
	must(c.want(2, agentA))
	c.ready(1, clientC.id)
	c.ready(2, agentA.id)
	return c
}

func TestRule2EachEndGetsItsFilterWithThePeer(t *testing.T) {
	c := newCore()
	expect(t, "agent joins", c.join(1, agentA))
	expect(t, "client joins", c.join(2, clientC))
	expect(t, "client wants the agent", must(c.want(2, agentA)),
		"1: policy c any", "1: peer c here",
		"2: policy a none", "2: peer a here")
}

// A workspace that was prepared is called otherwise once it is claimed, and its agent
// tells programs there.
func TestAnAgentThatIsRenamedHearsItAndSoDoItsClients(t *testing.T) {
	c := linked()
	expect(t, "another name", c.rename(agentA.id, "main.dev.alice"), "2: peer a here ready", "1: welcome a as main.dev.alice")
	expect(t, "the same again", c.rename(agentA.id, "main.dev.alice"))
}

func TestRule2AnAgentLearnsOfNobodyButItsClients(t *testing.T) {
	c := linked()
	expect(t, "another client joins", c.join(3, clientD))
	expect(t, "and moves", must(c.setSelf(3, &meshv1.Self{Endpoints: []string{"192.0.2.1:1"}})))
}

func TestRule3ReadyReachesTheOtherEndOnce(t *testing.T) {
	c := newCore()
	c.join(1, agentA)
	c.join(2, clientC)
	must(c.want(2, agentA))
	expect(t, "agent is ready", c.ready(1, clientC.id), "2: peer a here ready")
	expect(t, "agent says so again", c.ready(1, clientC.id))
	expect(t, "client is ready", c.ready(2, agentA.id), "1: peer c here ready")
}

func TestRule3ANewKeyAsksForANewReady(t *testing.T) {
	c := linked()
	restarted := agentA
	restarted.key = [32]byte{'a', 9}
	outs := c.join(3, restarted)
	expect(t, "agent is back with another key", outs,
		"1: error REPLACED END",
		"3: policy c any", "3: peer c here",
		"2: policy a none", "2: peer a here")
}

func TestRule4WhereANodeIsReachesItsPeersAtOnce(t *testing.T) {
	c := linked()
	expect(t, "agent finds its address", must(c.setSelf(1, &meshv1.Self{Endpoints: []string{"192.0.2.1:1"}})),
		"2: peer a here ready at 192.0.2.1:1")
}

func TestRule5ABrokenStreamMakesLostAndAByeMakesGone(t *testing.T) {
	now := time.Unix(0, 0)
	c := linked()
	_, _, outs := c.leave(1, false, now)
	expect(t, "agent's stream breaks", outs, "2: peer a lost ready")
	expect(t, "agent is back, with its key", c.join(3, agentA),
		"3: policy c any", "3: peer c here ready",
		"2: policy a none", "2: peer a here")
	expect(t, "and ready", c.ready(3, clientC.id), "2: peer a here ready")

	_, _, outs = c.leave(2, false, now)
	expect(t, "client's stream breaks", outs, "3: peer c lost ready")
	expect(t, "client resumes", c.join(4, clientC),
		"3: policy c any", "3: peer c here",
		"4: policy a none", "4: peer a here ready")

	_, _, outs = c.leave(4, true, now)
	expect(t, "client says bye", outs, "3: peer c gone")
	if len(c.nodes) != 1 {
		t.Errorf("%d nodes after the client left, want the agent", len(c.nodes))
	}
}

func TestAgentThatSaidByeIsAwaitedByItsClients(t *testing.T) {
	c := linked()
	_, _, outs := c.leave(1, true, time.Unix(0, 0))
	expect(t, "agent says bye", outs, "2: peer a gone")
	expect(t, "agent starts again", c.join(3, agentA),
		"3: policy c any", "3: peer c here",
		"2: policy a none", "2: peer a here")
}

func TestWantOfAnAgentThatNeverJoined(t *testing.T) {
	c := newCore()
	c.join(2, clientC)
	target := agentA
	target.key, target.disco = [32]byte{}, [32]byte{}
	expect(t, "client wants it", must(c.want(2, target)), "2: policy a none", "2: peer a lost keyless")
	expect(t, "it joins", c.join(1, agentA),
		"1: policy c any", "1: peer c here",
		"2: policy a none", "2: peer a here")
}

func TestNewerSessionWinsAndTheOlderHearsWhy(t *testing.T) {
	c := newCore()
	c.join(1, agentA)
	outs := c.join(2, agentA)
	expect(t, "second agent", outs, "1: error REPLACED END")
	if why := outs[0].msg.GetError().GetMessage(); !strings.Contains(why, "another agent") {
		t.Errorf("the older is told %q", why)
	}
	if _, left, _ := c.leave(1, false, time.Time{}); left {
		t.Error("the end of the older session took the newer one's node")
	}
}

func TestRevokedNodeIsGoneForEverybody(t *testing.T) {
	c := linked()
	expect(t, "workspace deleted", c.revoke(agentA.id, "deleted"), "2: peer a gone", "1: error REVOKED END")
	if c.nodes[agentA.id] != nil || len(c.nodes[clientC.id].links) != 0 {
		t.Error("something of the agent stayed")
	}
}

func TestOnlyTheClientGivesALinkUp(t *testing.T) {
	c := linked()
	expect(t, "agent unwants", c.unwant(1, clientC.id))
	expect(t, "client unwants", c.unwant(2, agentA.id), "2: peer a gone", "1: peer c gone")
}

func TestALinkThatIsCutIsGoneAtBothEndsAndNowhereElse(t *testing.T) {
	c := linked()
	c.join(3, clientD)
	must(c.want(3, agentA))
	expect(t, "an agent cuts", c.cut(agentA.id, clientC.id))
	expect(t, "c is cut off", c.cut(clientC.id, agentA.id), "1: peer c gone", "2: peer a gone")
	expect(t, "once", c.cut(clientC.id, agentA.id))
	expect(t, "a moves", must(c.setSelf(1, &meshv1.Self{Endpoints: []string{"192.0.2.1:1"}})), "3: peer a here at 192.0.2.1:1")
	c.leave(3, false, time.Unix(0, 0))
	expect(t, "d is lost, and cut off", c.cut(clientD.id, agentA.id), "1: peer d gone")
}

func TestLostNodesAreForgottenAfterFifteenMinutes(t *testing.T) {
	c := linked()
	t0 := time.Unix(0, 0)
	c.leave(2, false, t0)
	expect(t, "14 minutes later", c.expire(t0.Add(14*time.Minute)))
	expect(t, "15 minutes later", c.expire(t0.Add(15*time.Minute)), "1: peer c gone")
}

func TestLimits(t *testing.T) {
	c := newCore()
	c.join(1, agentA)
	many := make([]string, maxEndpoints+1)
	for i := range many {
		many[i] = "192.0.2.1:1"
	}
	for name, self := range map[string]*meshv1.Self{
		"too many endpoints":    {Endpoints: many},
		"no endpoint":           {Endpoints: []string{"nonsense"}},
		"too many capabilities": {Capabilities: many},
		"a long capability":     {Capabilities: []string{strings.Repeat("x", maxCapabilityLen+1)}},
	} {
		if _, err := c.setSelf(1, self); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c.join(2, clientC)
	for i := range maxWants + 1 {
		m := testMember(0, true)
		m.id = uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(i >> 8)})
		if _, err := c.want(2, m); (err != nil) != (i == maxWants) {
			t.Fatalf("want %d: %v", i, err)
		}
	}
}

// Whatever happens, links have two ends, sessions have their nodes, and
// nothing is said to a session that has ended.
func TestCoreInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCore()
		now := time.Unix(0, 0)
		next := sessionID(0)
		members := []member{agentA, testMember('b', true), clientC, clientD}
		anyMember := rapid.SampledFrom(members)
		anySession := rapid.Custom(func(t *rapid.T) sessionID {
			return sessionID(rapid.IntRange(0, int(next)).Draw(t, "session"))
		})
		check := func(outs []out) {
			for _, o := range outs {
				if o.to == 0 {
					t.Fatalf("message to no session: %v", o.msg)
				}
				if n := c.sessions[o.to]; n == nil && !o.end && !strings.Contains(render(o.msg), "gone") {
					t.Fatalf("%s said to session %d, which has ended", render(o.msg), o.to)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				next++
				check(c.join(next, anyMember.Draw(t, "member")))
			},
			"leave": func(t *rapid.T) {
				_, _, outs := c.leave(anySession.Draw(t, "s"), rapid.Bool().Draw(t, "bye"), now)
				check(outs)
			},
			"want": func(t *rapid.T) {
				s := anySession.Draw(t, "s")
				if n := c.sessions[s]; n != nil && !n.agent {
					outs, err := c.want(s, members[rapid.IntRange(0, 1).Draw(t, "agent")])
					if err != nil {
						t.Fatal(err)
					}
					check(outs)
				}
			},
			"unwant": func(t *rapid.T) { check(c.unwant(anySession.Draw(t, "s"), anyMember.Draw(t, "m").id)) },
			"ready":  func(t *rapid.T) { check(c.ready(anySession.Draw(t, "s"), anyMember.Draw(t, "m").id)) },
			"revoke": func(t *rapid.T) { check(c.revoke(anyMember.Draw(t, "m").id, "")) },
			"expire": func(t *rapid.T) {
				now = now.Add(10 * time.Minute)
				check(c.expire(now))
			},
			"": func(t *rapid.T) {
				for s, n := range c.sessions {
					if n.session != s || c.nodes[n.id] != n {
						t.Fatalf("session %d has a stale node", s)
					}
				}
				for id, n := range c.nodes {
					if n.session != 0 && c.sessions[n.session] != n {
						t.Fatalf("node %v has a stale session", id)
					}
					for other, l := range n.links {
						if l.other(n).id != other || c.nodes[other] == nil || c.nodes[other].links[id] != l {
							t.Fatalf("half a link between %v and %v", id, other)
						}
						if !l.agent.agent || l.client.agent {
							t.Fatalf("a link between two agents or two clients")
						}
					}
				}
			},
		})
	})
}
