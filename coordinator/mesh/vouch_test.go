package mesh

import (
	"testing"

	"github.com/google/uuid"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// The coordinator's own node reaches an agent while somebody is vouched for, and at
// no other time; the last who withdraws ends the link.
func TestRule2TheCoordinatorsNodeReachesOnlyWhereItIsVouchedFor(t *testing.T) {
	v := newVillage(t)
	agent, proxy := open(t, v.dial(t, "agent")), open(t, v.dial(t, "proxy"))
	agent.hello('a')
	agent.untilWelcome()
	proxy.hello('p')
	proxy.untilWelcome()

	proxy.say(wantUp(v.agent))
	proxy.untilError(meshv1.Error_PEER_NOT_FOUND)

	first, second := v.hub.Vouch(v.agent), v.hub.Vouch(v.agent)
	proxy.say(wantUp(v.agent))
	proxy.until("the agent", isPeer(meshv1.Peer_HERE))
	agent.until("the coordinator's node", isPeer(meshv1.Peer_HERE))

	// Its rights are not a token's: they are looked at by who vouched.
	if err := v.hub.Recheck(t.Context(), Access{All: true}); err != nil {
		t.Fatal(err)
	}
	first()
	first()
	if !v.hub.isVouched(v.agent) {
		t.Fatal("one withdrew for both")
	}
	second()
	proxy.until("the agent's end", isPeer(meshv1.Peer_GONE))
	agent.until("the node's end", isPeer(meshv1.Peer_GONE))
	proxy.say(wantUp(v.agent))
	proxy.untilError(meshv1.Error_PEER_NOT_FOUND)
}

// Whose a session is that came through the coordinator's node is not known to the
// hub, and told by who let it through.
func TestSessionsThroughTheCoordinatorsNodeAreNotItsOwn(t *testing.T) {
	v := newVillage(t)
	list := []*meshv1.SessionReport{
		{Id: uuid.NewString(), Client: v.hub.proxy.String(), Kind: "terminal"},
		{Id: uuid.NewString(), Client: uuid.NewString(), Kind: "shell"},
	}
	left := v.hub.notByProxy(list)
	if len(left) != 1 || left[0] != list[1] || len(list) != 2 {
		t.Errorf("left are %v", left)
	}
}
