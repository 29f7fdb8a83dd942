package tunnel

import (
	"context"
	"errors"
	"net/netip"
	"os"
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

// A program that vanished says no goodbye to its connections. Once the coordinator
// says that it is gone, nobody waits for it.
func TestConnectionsEndWithTheirPeer(t *testing.T) {
	c := newCrowd(t)
	client, agent := c.node(t, "client"), c.node(t, "agent")
	waitDirect(t, client, "agent")
	l, err := agent.ListenTCP(9)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	near, err := client.DialTCP(ctx, netip.AddrPortFrom(agent.Address(), 9))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	c.mu.Lock()
	c.joined["agent"].tell(&meshv1.Peer{Id: "client", State: meshv1.Peer_GONE})
	c.mu.Unlock()
	if err := far.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection with a peer that is gone: %v", err)
	}
	if _, err := agent.DialTCP(ctx, netip.AddrPortFrom(agent.Address(), 9)); err != nil {
		t.Errorf("what listens is touched: %v", err)
	}
}
