package mesh

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func (v *village) share(level string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.foreign, v.grant = true, level
}

func wantUp(peer uuid.UUID) *meshv1.Up {
	return &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: peer.String()}}}
}

func isPeer(state meshv1.Peer_State) func(*meshv1.Down) bool {
	return func(d *meshv1.Down) bool { return d.GetPeer() != nil && d.GetPeer().GetState() == state }
}

// What is somebody else's is reached by those who were let in to connect.
func TestRule2SharingAtALevelThatConnectsLinks(t *testing.T) {
	v := newVillage(t)
	agent, client := open(t, v.dial(t, "agent")), open(t, v.dial(t, "user"))
	agent.hello('a')
	agent.untilWelcome()
	client.hello('c')
	client.untilWelcome()
	for _, level := range []string{"", "apps", "no such level"} {
		v.share(level)
		client.say(wantUp(v.agent))
		client.untilError(meshv1.Error_PEER_NOT_FOUND)
	}
	for _, level := range []string{"connect", "admin"} {
		v.share(level)
		client.say(wantUp(v.agent))
		client.until("the agent, at level "+level, isPeer(meshv1.Peer_HERE))
		agent.until("the client", isPeer(meshv1.Peer_HERE))
		if err := v.hub.Recheck(t.Context(), Access{All: true}); err != nil {
			t.Fatal(err)
		}
		v.share("apps")
		if err := v.hub.Recheck(t.Context(), Access{Users: map[uuid.UUID]bool{v.user: true}}); err != nil {
			t.Fatal(err)
		}
		client.until("the agent's end, at level "+level, isPeer(meshv1.Peer_GONE))
		agent.until("the client's end", isPeer(meshv1.Peer_GONE))
	}
}

// The store says yes, then access is withdrawn and all links are looked at, and
// then the link would be made.
func TestWithdrawalDuringAWantIsNotMissed(t *testing.T) {
	v := newVillage(t)
	v.share("connect")
	withdrawn := false
	v.hub.cfg.Store = meanwhileGranted{v, func() {
		if withdrawn {
			return
		}
		withdrawn = true
		v.share("")
		if err := v.hub.Recheck(context.Background(), Access{Workspaces: map[uuid.UUID]bool{uuid.Nil: true}}); err != nil {
			t.Error(err)
		}
	}}
	client := open(t, v.dial(t, "user"))
	client.hello('c')
	client.untilWelcome()
	client.say(wantUp(v.agent))
	client.untilError(meshv1.Error_PEER_NOT_FOUND)
}

// meanwhileGranted is a store in whose answers on grants something happens.
type meanwhileGranted struct {
	*village
	happens func()
}

func (m meanwhileGranted) GrantOf(ctx context.Context, user, workspace uuid.UUID) (string, error) {
	defer m.happens()
	return m.village.GrantOf(ctx, user, workspace)
}

// While the database cannot tell, nothing ends, and the caller hears of it.
func TestRecheckWithoutADatabaseCutsNobodyOff(t *testing.T) {
	v := newVillage(t)
	v.share("connect")
	client := open(t, v.dial(t, "user"))
	client.hello('c')
	client.untilWelcome()
	client.say(wantUp(v.agent))
	client.until("the agent", func(d *meshv1.Down) bool { return d.GetPeer() != nil })
	v.hub.mu.Lock()
	v.hub.cfg.Store = away{v}
	v.hub.mu.Unlock()
	if err := v.hub.Recheck(t.Context(), Access{All: true}); err == nil {
		t.Error("no error, and no database")
	}
	if n := len(v.hub.Connections(v.agent)); n != 1 {
		t.Errorf("%d links, want the one", n)
	}
}

type away struct{ *village }

func (away) LiveAgent(context.Context, uuid.UUID) (store.MeshAgent, error) {
	return store.MeshAgent{}, context.DeadlineExceeded
}
