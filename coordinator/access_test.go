package coordinator

import (
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// until reads a stream up to the first message that matches.
func until(t *testing.T, stream meshv1.Mesh_ConnectClient, what string, match func(*meshv1.Down) bool) {
	t.Helper()
	came := make(chan error, 1)
	go func() {
		for {
			down, err := stream.Recv()
			if err != nil || match(down) {
				came <- err
				return
			}
		}
	}()
	select {
	case err := <-came:
		if err != nil {
			t.Fatalf("stream ended before %s: %v", what, err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
	}
}

func peerIs(state meshv1.Peer_State) func(*meshv1.Down) bool {
	return func(d *meshv1.Down) bool { return d.GetPeer() != nil && d.GetPeer().GetState() == state }
}

// A share that is taken back ends the links that stood on it, at both ends and at
// once.
func TestAccessThatIsWithdrawnEndsItsLinks(t *testing.T) {
	d := deploy(t, nil)
	ctx := t.Context()
	made, err := d.alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.server.store.CreateUser(ctx, store.NewUser{Username: "bob", Email: "bob@example.com", PasswordHash: "x", Role: store.RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := d.server.auth.IssueToken(ctx, u.ID, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	agent, bob := d.join(t, made.AgentToken), d.join(t, token)
	want := &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: made.Agents[0].ID}}}
	if err := bob.Send(want); err != nil {
		t.Fatal(err)
	}
	until(t, bob, "refusal", func(d *meshv1.Down) bool { return d.GetError().GetCode() == meshv1.Error_PEER_NOT_FOUND })

	if err := d.alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareConnect); err != nil {
		t.Fatal(err)
	}
	if err := bob.Send(want); err != nil {
		t.Fatal(err)
	}
	until(t, bob, "agent", peerIs(meshv1.Peer_HERE))
	until(t, agent, "client", peerIs(meshv1.Peer_HERE))

	began := time.Now()
	if err := d.alice.UnshareWithUser(ctx, "me", "dev", "bob"); err != nil {
		t.Fatal(err)
	}
	until(t, agent, "client's end", peerIs(meshv1.Peer_GONE))
	until(t, bob, "agent's end", peerIs(meshv1.Peer_GONE))
	took := time.Since(began)
	t.Logf("both ends of the link were told %v after the share was asked back", took)
	if took > 2*time.Second { // the bus would look by itself after 3
		t.Errorf("the link ended after %v", took)
	}
	if err := bob.Send(want); err != nil {
		t.Fatal(err)
	}
	until(t, bob, "refusal", func(d *meshv1.Down) bool { return d.GetError().GetCode() == meshv1.Error_PEER_NOT_FOUND })
}
