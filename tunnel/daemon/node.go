package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/aditmesh/adit/tunnel"
)

// SessionOf names the session of a token in a Status, without telling the token.
func SessionOf(token string) string {
	sum := sha256.Sum256([]byte("adit up\x00" + token))
	return hex.EncodeToString(sum[:8])
}

// Node is a running daemon's node, for a program that needs one for a moment. Its
// methods are those of tunnel.Node.
type Node struct {
	client *Client
	stop   context.CancelFunc
	done   chan struct{} // closed when the daemon has ended, or this was closed

	mu  sync.Mutex
	ids map[netip.Addr]string // guarded by mu
}

// NewNode returns the node of the daemon behind c.
func NewNode(c *Client) *Node {
	ctx, stop := context.WithCancel(context.Background())
	n := &Node{client: c, stop: stop, done: make(chan struct{}), ids: make(map[netip.Addr]string)}
	go func() {
		defer close(n.done)
		_ = c.Events(ctx, func(Event) error { return nil }) // they end with the daemon
	}()
	return n
}

// Connect makes a tunnel to the agent with the given node id, and returns its address.
func (n *Node) Connect(ctx context.Context, id string) (netip.Addr, error) {
	p, err := n.client.Connect(ctx, id)
	if err != nil {
		return netip.Addr{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids[p.Address] = id
	return p.Address, nil
}

// DialTCP connects to a port of an agent by the machine's own network.
func (n *Node) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to.String())
}

// DialUDP returns a UDP socket connected to a port of an agent.
func (n *Node) DialUDP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "udp", to.String())
}

// Ping sends an echo to an agent that Connect returned the address of.
func (n *Node) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	n.mu.Lock()
	id := n.ids[to]
	n.mu.Unlock()
	e, err := n.client.Ping(ctx, id)
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("ping %v: no answer: %w", to, context.Cause(ctx))
	case err != nil:
		return 0, err
	case e.Error != "":
		return 0, errors.New(e.Error)
	}
	return e.RTT, nil
}

// Peer returns what the daemon's node knows of the agent with the given node id.
func (n *Node) Peer(id string) (tunnel.Peer, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	p, err := n.client.Peer(ctx, id)
	return p, err == nil
}

// Done is closed when the daemon has ended.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says that the daemon has ended.
func (n *Node) Err() error { return fmt.Errorf("%w any more", ErrNotUp) }

// Close leaves the daemon and its tunnels as they are.
func (n *Node) Close() error {
	n.stop()
	<-n.done
	return nil
}
