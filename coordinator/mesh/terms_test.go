package mesh

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/pkg/policy"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// A policy takes away from what an agent admits, and never adds to it.
func TestAPolicyOnlyNarrows(t *testing.T) {
	anything := []policy.Ports{{Protocol: policy.TCP, Last: maxPort}, {Protocol: policy.UDP, Last: maxPort}, {Protocol: policy.ICMP, Last: maxPort}}
	for _, tt := range []struct {
		name     string
		may      []*meshv1.Allow
		admitted []policy.Ports
		want     string
	}{
		{"everything of everything", mayPass(false), anything, "TCP:0-65535 UDP:0-65535 ICMP:0-0"},
		{"everything of what forbids forwarding", mayPass(true), anything, "ICMP:0-0 TCP:22-22 TCP:7076-7076 TCP:7077-7077 TCP:7078-7078 UDP:7078-7078"},
		{"a range of what forbids forwarding", mayPass(true), []policy.Ports{{Protocol: policy.TCP, First: 20, Last: 7077}}, "TCP:22-22 TCP:7076-7076 TCP:7077-7077"},
		{"another port", mayPass(true), []policy.Ports{{Protocol: policy.TCP, First: 80, Last: 80}}, ""},
		{"another protocol", mayPass(true), []policy.Ports{{Protocol: policy.UDP, First: 22, Last: 22}}, ""},
		{"nothing", mayPass(false), nil, ""},
	} {
		var got []string
		for _, a := range narrow(tt.may, tt.admitted) {
			got = append(got, fmt.Sprintf("%v:%d-%d", a.GetProtocol(), a.GetFirstPort(), a.GetLastPort()))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
}

func onPolicy(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// allows is what an agent is told of what a client may send.
func allows(want string) func(*meshv1.Down) bool {
	return func(d *meshv1.Down) bool {
		var got []string
		for _, a := range d.GetPolicy().GetAllow() {
			got = append(got, fmt.Sprintf("%v:%d-%d", a.GetProtocol(), a.GetFirstPort(), a.GetLastPort()))
		}
		return d.GetPolicy() != nil && strings.Join(got, " ") == want
	}
}

// A policy holds for links there are and for those to come, and what it takes away is taken
// at once, also from who is in a group no longer.
func TestAPolicyHoldsAtOnce(t *testing.T) {
	v := newVillage(t)
	agent, client := open(t, v.dial(t, "agent")), open(t, v.dial(t, "user"))
	agent.hello('a')
	agent.untilWelcome()
	client.hello('c')
	client.untilWelcome()
	client.say(wantUp(v.agent))
	agent.until("all, without a policy", allows("ANY:0-0"))

	v.hub.SetPolicy(onPolicy(t, "rules:\n- {from: ['group:web'], to: ['*/dev'], ports: ['tcp:22']}\n"))
	agent.until("nothing, for whoever is not in the group", allows(""))
	v.mu.Lock()
	v.groups = []string{"web"}
	v.mu.Unlock()
	if err := v.hub.Recheck(t.Context(), Access{Users: map[uuid.UUID]bool{v.user: true}}); err != nil {
		t.Fatal(err)
	}
	agent.until("SSH, for who is", allows("TCP:22-22"))

	other := open(t, v.dial(t, "user"))
	other.hello('d')
	other.untilWelcome()
	other.say(wantUp(v.agent))
	agent.until("SSH, for who comes later", allows("TCP:22-22"))
	other.until("the agent", isPeer(meshv1.Peer_HERE))

	v.hub.SetPolicy(onPolicy(t, "rules: []\n"))
	agent.until("nothing", allows(""))
	v.hub.SetPolicy(nil)
	agent.until("all again", allows("ANY:0-0"))
}

// The coordinator's own node is not narrowed: whom it acts for is looked at one by one.
func TestThePolicyIsAskedForThoseWhoComeByABrowser(t *testing.T) {
	v := newVillage(t)
	who := auth.Identity{Kind: auth.User, UserID: v.user, Username: "bob"}
	for _, tt := range []struct {
		policy string
		port   uint16
		want   bool
	}{
		{"links: []\n", 8080, true},
		{"rules:\n- {from: [bob], to: [alice/dev], ports: ['tcp:8000-8999']}\n", 8080, true},
		{"rules:\n- {from: [bob], to: [alice/dev], ports: ['tcp:8000-8999']}\n", 22, false},
		{"rules:\n- {from: [bob], to: [alice/dev], ports: ['udp:8080']}\n", 8080, false},
		{"rules:\n- {from: [carol], to: [alice/dev], ports: ['*']}\n", 8080, false},
	} {
		v.hub.SetPolicy(onPolicy(t, tt.policy))
		if got, err := v.hub.PolicyAdmits(t.Context(), who, v.agent, tt.port); err != nil || got != tt.want {
			t.Errorf("%s: port %d: %v %v", tt.policy, tt.port, got, err)
		}
	}
	v.hub.SetPolicy(onPolicy(t, "rules:\n- {from: ['*'], to: ['*/*'], ports: ['tcp:80']}\n"))
	if got, err := v.hub.PolicyAdmits(t.Context(), auth.Identity{}, v.agent, 80); err != nil || !got {
		t.Errorf("what is everybody's is not somebody's whom nobody knows: %v %v", got, err)
	}
}

func wantBy(t *testing.T, v *village, key byte, client bool) villager {
	t.Helper()
	s := open(t, v.dial(t, "agent"))
	pub, disco := [32]byte{key, 1}, [32]byte{key, 2}
	s.say(&meshv1.Up{Msg: &meshv1.Up_Hello{Hello: &meshv1.Hello{Protocol: 1, PublicKey: pub[:], DiscoKey: disco[:], Client: client}}})
	s.untilWelcome()
	s.say(wantUp(v.agent))
	return s
}

// What comes with an agent's token is linked to agents where the policy's links lead, if it
// says that it is no agent, and to none otherwise.
func TestRule2WorkspacesAreLinkedByThePolicyAlone(t *testing.T) {
	v := newVillage(t) // its one agent is main of alice/dev, which is at both ends here
	agent := open(t, v.dial(t, "agent"))
	agent.hello('a')
	agent.untilWelcome()
	client := wantBy(t, v, 'c', true)
	client.untilError(meshv1.Error_PEER_NOT_FOUND)

	v.hub.SetPolicy(onPolicy(t, "rules:\n- {from: ['*'], to: ['*/*'], ports: ['*']}\n"))
	client.say(wantUp(v.agent))
	client.untilError(meshv1.Error_PEER_NOT_FOUND)

	v.hub.SetPolicy(onPolicy(t, "links:\n- {from: [alice/dev], to: ['*/dev'], ports: ['tcp:5432']}\n"))
	client.say(wantUp(v.agent))
	client.until("the agent", isPeer(meshv1.Peer_HERE))
	agent.until("the link's port", allows("TCP:5432-5432"))
	v.hub.SetPolicy(nil)
	agent.until("nothing", allows(""))
	if err := v.hub.Recheck(t.Context(), Access{All: true}); err != nil {
		t.Fatal(err)
	}
	client.until("the agent's end", isPeer(meshv1.Peer_GONE))

	v.hub.SetPolicy(onPolicy(t, "links:\n- {from: [alice/dev], to: ['*/dev'], ports: ['*']}\n"))
	client.say(wantUp(v.agent))
	client.until("the agent again", isPeer(meshv1.Peer_HERE))
	v.deleteAgent()
	client.untilError(meshv1.Error_REVOKED)
}

// An agent itself wants nobody, whatever the policy says.
func TestRule2AnAgentIsLinkedToNoAgent(t *testing.T) {
	v := newVillage(t)
	v.hub.SetPolicy(onPolicy(t, "links:\n- {from: ['*/*'], to: ['*/*'], ports: ['*']}\n"))
	wantBy(t, v, 'a', false).untilError(meshv1.Error_PEER_NOT_FOUND)
}
