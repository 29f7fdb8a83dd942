package derp

import (
	"crypto/tls"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/types/key"

	"github.com/aditmesh/adit/pkg/certpin"
	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
)

// regional is a relay of a region, over TLS with a certificate of its own.
type regional struct {
	*Relay
	mesh *mesh
	web  *httptest.Server
}

func startRegional(t testing.TB) *regional {
	t.Helper()
	return startRegionalWith(t, Config{Admit: admitAll}, nil)
}

// startRegionalWith has it serve TLS as secure says, or with httptest's certificate.
func startRegionalWith(t testing.TB, cfg Config, secure *tls.Config) *regional {
	t.Helper()
	r, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	one := &regional{Relay: r, mesh: newMesh(r, slog.New(slog.DiscardHandler)), web: httptest.NewUnstartedServer(r.Handler())}
	one.web.TLS = secure
	one.web.StartTLS()
	t.Cleanup(one.end)
	return one
}

func (r *regional) end() {
	r.mesh.keep(nil)
	r.Close()
	r.web.CloseClientConnections()
	r.web.Close()
}

// joined has relays know each other by a key.
func joined(t testing.TB, meshKey string, all ...*regional) {
	t.Helper()
	var list []*relayv1.Sibling
	for _, r := range all {
		list = append(list, &relayv1.Sibling{Name: "r", Url: r.web.URL, CertName: r.target(t).CertName, PublicKey: r.publicKey()})
	}
	for _, r := range all {
		if err := r.mesh.set(&relayv1.Siblings{MeshKey: meshKey, Relays: list}); err != nil {
			t.Fatal(err)
		}
	}
}

// target is where it is.
func (r *regional) target(t testing.TB) Target {
	t.Helper()
	u, err := url.Parse(r.web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Target{URL: u, CertName: certpin.Of(r.web.Certificate().Raw)}
}

// node connects a client to a relay.
func (r *regional) node(t *testing.T) (*derphttp.Client, key.NodePublic) {
	t.Helper()
	priv := key.NewNode()
	return r.nodeOf(t, priv), priv.Public()
}

func (r *regional) nodeOf(t *testing.T, priv key.NodePrivate) *derphttp.Client {
	t.Helper()
	c, err := r.target(t).client(priv, new(Probed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// reaches sends packets from a to b until one arrives.
func reaches(t *testing.T, from *derphttp.Client, self key.NodePublic, to *derphttp.Client, dst key.NodePublic) {
	t.Helper()
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		for {
			m, err := to.Recv()
			if err != nil {
				continue // it is disconnected when its relay has another key
			}
			if p, ok := m.(derp.ReceivedPacket); ok && p.Source == self && string(p.Data) == "hello" {
				return
			}
		}
	}()
	began := time.Now()
	for {
		_ = from.Send(dst, []byte("hello")) // while it is disconnected
		select {
		case <-arrived:
			t.Logf("arrived after %v", time.Since(began).Round(time.Millisecond))
			return
		case <-time.After(20 * time.Millisecond):
			if time.Since(began) > 10*time.Second {
				t.Fatal("nothing arrives at the other relay's node")
			}
		}
	}
}

const regionKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestNodesOnTwoRelaysOfARegionReachEachOther(t *testing.T) {
	one, two := startRegional(t), startRegional(t)
	joined(t, regionKey, one, two)
	a, keyA := one.node(t)
	b, keyB := two.node(t)
	reaches(t, a, keyA, b, keyB)
	reaches(t, b, keyB, a, keyA)

	// One that comes later is reached, too, and one that goes takes nobody with it.
	three := startRegional(t)
	joined(t, regionKey, one, two, three)
	c, keyC := three.node(t)
	reaches(t, a, keyA, c, keyC)
	three.end()
	joined(t, regionKey, one, two)
	reaches(t, b, keyB, a, keyA)

	// With another key, which a deleted relay does not have, all come back.
	joined(t, strings.Repeat("5a", 32), one, two)
	reaches(t, a, keyA, b, keyB)
	reaches(t, b, keyB, a, keyA)
}

// Packets for a node that comes to their sender's own relay are no longer forwarded, and
// are again when it is at the other alone.
func TestForwardingFollowsANodeFromRelayToRelay(t *testing.T) {
	one, two := startRegional(t), startRegional(t)
	joined(t, regionKey, one, two)
	a, keyA := one.node(t)
	roams := key.NewNode()
	there := two.nodeOf(t, roams)
	reaches(t, a, keyA, there, roams.Public())
	here := one.nodeOf(t, roams)
	if err := here.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	reaches(t, a, keyA, here, roams.Public())
	here.Close()
	reaches(t, a, keyA, there, roams.Public())
}

// Whoever has not the key of the region is told nothing of who is connected.
func TestARelayWithoutTheKeyIsNoSibling(t *testing.T) {
	one, stranger := startRegional(t), startRegional(t)
	joined(t, regionKey, one)
	secret, err := key.ParseDERPMesh(strings.Repeat("5a", 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.watchOnce(t.Context(), one.target(t), secret); err == nil {
		t.Error("a stranger may watch")
	}
}
