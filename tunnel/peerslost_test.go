package tunnel

import (
	"context"
	"testing"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// A coordinator that was restarted has a client back before the agent: it knows
// that there is such an agent, and nothing of its keys.
func TestRule5APeerTheCoordinatorHasNotSeenYetKeepsItsTunnel(t *testing.T) {
	c := newCrowd(t)
	client, agent := c.node(t, "client"), c.node(t, "agent")
	waitDirect(t, client, "agent")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := client.Ping(ctx, agent.Address()); err != nil {
		t.Fatal(err)
	}
	client.mu.Lock()
	before, changed := client.peers["agent"].path, client.changed
	client.mu.Unlock()

	c.mu.Lock()
	c.joined["client"].tell(&meshv1.Peer{
		Id: "agent", State: meshv1.Peer_LOST, Addresses: []string{agent.Address().String()},
	})
	c.mu.Unlock()
	for lost := false; !lost; {
		<-changed
		client.mu.Lock()
		p := client.peers["agent"]
		lost, changed = p.state == peerLost, client.changed
		if p.path != before {
			t.Error("the tunnel was given up")
		}
		client.mu.Unlock()
	}
	if _, err := client.Ping(ctx, agent.Address()); err != nil {
		t.Errorf("ping through the tunnel: %v", err)
	}
}
