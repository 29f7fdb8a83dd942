package tunnel

import (
	"crypto/ecdh"
	"crypto/rand"
	"net/netip"

	"tailscale.com/types/ipproto"
)

// Identity is what makes a node the same in another process: then its peers take that for
// one that was away for a moment. Whoever has it is the node, so it is to be kept as secret
// as the token.
type Identity struct {
	// PrivateKey is WireGuard's.
	PrivateKey [32]byte `json:"private_key"`
	// Resume is by which the coordinator gives the same id, hence address, again.
	Resume string `json:"resume"`
}

// privateKey returns an identity's key, or makes one.
func privateKey(of *Identity) (*ecdh.PrivateKey, error) {
	if of != nil {
		return ecdh.X25519().NewPrivateKey(of.PrivateKey[:])
	}
	return ecdh.X25519().GenerateKey(rand.Reader)
}

// Identity returns who the node is, once it has joined.
func (n *Node) Identity() Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Identity{n.priv, n.resume}
}

// Suspend is Close for a node that another process is about to become: nobody is told that
// it ends, so that for as long as a peer is kept that was lost, its connections wait.
func (n *Node) Suspend() error {
	n.cancel()
	n.wg.Wait()
	n.once.Do(func() { close(n.closed) })
	return n.closeLayers()
}

// Connection is one of TCP that this machine has with a peer.
type Connection struct {
	Peer  netip.AddrPort
	Local uint16 // port
}

// Adopt takes connections for ones that this node began, which it did in an earlier
// process. Since then none of what a peer sends has come in, so only what this machine's
// own stack knows of may be told here; and only by a node that admits nobody: on another,
// what a peer has begun would outlast the rule that let it in.
func (n *Node) Adopt(list []Connection) {
	for _, c := range list {
		n.filter.connections.begin(flow{c.Peer.Addr().As16(), c.Peer.Port(), c.Local, ipproto.TCP}, 0)
	}
	n.filter.settling.Store(false)
}
