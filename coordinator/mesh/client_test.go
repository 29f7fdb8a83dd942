package mesh

import (
	"testing"

	"github.com/google/uuid"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// A workspace's program is a client of its workspace, whatever it says it is, and reaches
// what links lead to. Its stream ends with its token; its links do not, for whoever comes
// back with another.
func TestAWorkspacesClientComesBackWithAnotherToken(t *testing.T) {
	v := newVillage(t)
	v.hub.SetPolicy(onPolicy(t, "links:\n- {from: [alice/dev], to: [alice/dev], ports: [icmp]}\n"))
	agent := open(t, v.dial(t, "agent"))
	agent.hello('a')
	agent.untilWelcome()
	soon := open(t, v.dial(t, "client for 300ms"))
	soon.hello('c')
	welcome := soon.until("welcome", func(d *meshv1.Down) bool { return d.GetWelcome() != nil }).GetWelcome()
	if welcome.GetNodeId() == v.agent.String() {
		t.Fatal("it has come as the agent")
	}
	soon.say(wantUp(v.agent))
	soon.until("the agent", isPeer(meshv1.Peer_HERE))
	agent.until("the client", isPeer(meshv1.Peer_HERE))
	soon.untilError(meshv1.Error_UNAVAILABLE)
	agent.until("that its stream is over", isPeer(meshv1.Peer_LOST))

	again := open(t, v.dial(t, "client for 1h"))
	hello := helloUp('c')
	hello.GetHello().ResumeToken = welcome.GetResumeToken()
	again.say(hello)
	again.until("the agent, unasked", isPeer(meshv1.Peer_HERE))
	agent.until("the client again", func(d *meshv1.Down) bool {
		return isPeer(meshv1.Peer_HERE)(d) && d.GetPeer().GetId() == welcome.GetNodeId()
	})
	again.say(&meshv1.Up{Msg: &meshv1.Up_Report{Report: &meshv1.Report{}}})
	again.untilError(meshv1.Error_BAD_MESSAGE)
}

// Nobody comes in with a token that is over by then, and whoever is in goes with the agent.
func TestAWorkspacesClientGoesWithItsAgent(t *testing.T) {
	v := newVillage(t)
	client := open(t, v.dial(t, "client for 1h"))
	client.hello('c')
	client.untilWelcome()
	if err := v.hub.Recheck(t.Context(), Access{All: true}); err != nil {
		t.Fatal(err)
	}
	if err := v.hub.Recheck(t.Context(), Access{Agents: map[uuid.UUID]bool{v.agent: true}}); err != nil {
		t.Fatal(err)
	}
	client.say(wantUp(v.agent))
	client.untilError(meshv1.Error_PEER_NOT_FOUND)
	v.deleteAgent()
	client.untilError(meshv1.Error_REVOKED)
	late := open(t, v.dial(t, "client for 1h"))
	late.hello('d')
	late.untilError(meshv1.Error_REVOKED)
}
