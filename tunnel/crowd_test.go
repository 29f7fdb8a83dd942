package tunnel

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

// patience is how long a test waits for what takes a moment.
const patience = time.Minute

// crowd is a coordinator that introduces everybody to everybody: the nodes that
// join, each under the name that is its token, and whoever else it is told of.
type crowd struct {
	meshv1.UnimplementedMeshServer
	url *url.URL

	mu      sync.Mutex // guards what follows, and sending
	joined  map[string]*crowdNode
	nominal []*meshv1.Peer // exist in name only; told to who joins last
}

type crowdNode struct {
	stream meshv1.Mesh_ConnectServer
	peer   *meshv1.Peer
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{joined: make(map[string]*crowdNode)}
	srv := rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(_ context.Context, token string) (any, error) { return token, nil },
		Refuse:       func(w http.ResponseWriter, _ error) { w.WriteHeader(http.StatusUnauthorized) },
	}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, c) })
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		srv.Close()
		web.Close()
	})
	var err error
	if c.url, err = url.Parse(web.URL); err != nil {
		t.Fatal(err)
	}
	return c
}

// node has a node join and closes it with the test.
func (c *crowd) node(t *testing.T, name string) *Node {
	t.Helper()
	n, err := Start(t.Context(), Config{URL: c.url, Token: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func (c *crowd) Connect(stream meshv1.Mesh_ConnectServer) error {
	token, _ := rpc.Identity(stream.Context())
	name := token.(string)
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	n := &crowdNode{stream, &meshv1.Peer{
		Id: name, Name: name, State: meshv1.Peer_HERE, Ready: true, Addresses: []string{crowdAddr(name).String()},
		PublicKey: first.GetHello().GetPublicKey(), DiscoKey: first.GetHello().GetDiscoKey(),
	}}
	c.mu.Lock()
	_ = stream.Send(&meshv1.Down{Msg: &meshv1.Down_Welcome{Welcome: &meshv1.Welcome{
		NodeId: name, Address: n.peer.Addresses[0], Name: name,
	}}})
	for _, p := range c.nominal {
		n.tell(p)
	}
	for _, other := range c.joined {
		n.tell(other.peer)
	}
	c.joined[name] = n
	c.mu.Unlock()
	for {
		up, err := stream.Recv()
		if err != nil || up.GetBye() != nil {
			return nil
		}
		if self := up.GetSelf(); self != nil {
			c.mu.Lock()
			n.peer.Endpoints = self.GetEndpoints()
			for _, other := range c.joined {
				if other != n {
					other.tell(n.peer)
				}
			}
			c.mu.Unlock()
		}
	}
}

// tell has n know a peer, and let everything from it in. A stream that has
// ended hears nothing.
func (n *crowdNode) tell(p *meshv1.Peer) {
	_ = n.stream.Send(&meshv1.Down{Msg: &meshv1.Down_Policy{Policy: &meshv1.Policy{
		Peer: p.GetId(), Allow: []*meshv1.Allow{{Protocol: meshv1.Allow_ANY}},
	}}})
	_ = n.stream.Send(&meshv1.Down{Msg: &meshv1.Down_Peer{Peer: p}})
}

// crowdAddr is the mesh address of a node by its name.
func crowdAddr(name string) netip.Addr {
	raw := netip.MustParseAddr("fdad:17:ad17::").As16()
	copy(raw[6:], name)
	return netip.AddrFrom16(raw)
}

// waitDirect waits until packets from n to a peer take a direct path.
func waitDirect(t *testing.T, n *Node, id string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if p, ok := n.Peer(id); ok && p.Path.Kind == "direct" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no direct path to %s", id)
		}
	}
}
