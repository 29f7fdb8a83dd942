package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/path"
)

// aditConfig is a node.
type aditConfig struct {
	URL, Token string
	RootCA     []byte // PEM
	// TUN has the node use an interface, in place of a stack in the process.
	TUN bool
	// Peer is the id of the node to link to; empty waits to be linked to.
	Peer      string
	RelayOnly bool
	Verbose   bool
}

// runAdit plays a node of ours.
func runAdit(ctx context.Context, in *json.Decoder, out *replies) error {
	var conf aditConfig
	if err := in.Decode(&conf); err != nil {
		return err
	}
	node, err := startNode(ctx, conf)
	if err != nil {
		return err
	}
	defer node.Close()
	t := &traffic{net: aditNet{node}, path: func() (string, int) { return pathTo(node, conf.Peer) }}
	if !conf.TUN {
		if err := t.serve(); err != nil {
			return err
		}
	}
	if err := out.send(ready{Addr: node.Address().String(), ID: node.ID()}); err != nil {
		return err
	}
	if conf.Peer != "" {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		addr, err := node.Connect(ctx, conf.Peer)
		if err != nil {
			return err
		}
		if err := out.send(ready{Addr: addr.String(), ID: conf.Peer}); err != nil {
			return err
		}
	}
	return t.serveRequests(ctx, in, out)
}

const aditInterface = "adit0"

func startNode(ctx context.Context, conf aditConfig) (*tunnel.Node, error) {
	base, err := url.Parse(conf.URL)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(conf.RootCA)
	config := tunnel.Config{
		URL: base, Token: conf.Token, RootCAs: roots,
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
		Path:       path.Options{RelayOnly: conf.RelayOnly},
		Logger:     slog.New(slog.DiscardHandler),
	}
	if conf.TUN {
		if config.Device, err = tun.CreateTUN(aditInterface, tunMTU); err != nil {
			return nil, err
		}
	}
	node, err := tunnel.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	if conf.TUN {
		if err := setUpInterface(aditInterface, node.Address(), meshaddr.Prefix); err != nil {
			return nil, errors.Join(err, node.Close())
		}
	}
	return node, nil
}

// pathTo says how packets travel to a peer, or to the only one.
func pathTo(node *tunnel.Node, id string) (kind string, mtu int) {
	for _, p := range node.Peers() {
		if id == "" || p.ID == id {
			return p.Path.Kind, p.Path.MTU
		}
	}
	return "none", 0
}

// aditNet is the stack inside a node.
type aditNet struct{ node *tunnel.Node }

func (n aditNet) DialTCP(ctx context.Context, to string) (net.Conn, error) {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	return n.node.DialTCP(ctx, addr)
}

func (n aditNet) DialUDP(ctx context.Context, to string) (net.Conn, error) {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	return n.node.DialUDP(ctx, addr)
}

func (n aditNet) ListenTCP(port uint16) (net.Listener, error) { return n.node.ListenTCP(port) }

func (n aditNet) ListenUDP(port uint16) (net.PacketConn, error) { return n.node.ListenUDP(port) }

// aditPair is how two nodes of ours are to meet.
type aditPair struct {
	tun, relayOnly bool
}

func (a aditPair) start(t testing.TB, l *lab) *pair {
	agentToken := l.server.workspace(t)
	hosts := l.near()
	conf := aditConfig{URL: l.server.url, RootCA: l.server.rootCA, TUN: a.tun, RelayOnly: a.relayOnly}

	conf.Token = agentToken
	agent := startChild(t, hosts[1], "adit", conf)
	var far ready
	agent.read(&far)

	conf.Token, conf.Peer = l.server.token, far.ID
	client := startChild(t, hosts[0], "adit", conf)
	client.read(new(ready))
	client.read(new(ready)) // linked

	p := &pair{addr: far.Addr}
	want := "direct"
	if a.relayOnly {
		want = "derp"
	}
	for i, c := range [2]*child{client, agent} {
		if a.tun {
			p.ends[i] = kernelEnd(t, hosts[i], c.pid)
		} else {
			p.ends[i] = &end{host: hosts[i], pids: []int{c.pid}, traffic: c}
		}
	}
	p.assertPath = func(t testing.TB) {
		t.Helper()
		for _, c := range [2]*child{client, agent} {
			if got := c.ask(request{Do: "path"}); got.Path != want {
				t.Fatalf("the path is %s, want %s", got.Path, want)
			}
		}
	}
	settle(t, fmt.Sprintf("%s with its MTU", want), func() bool {
		near, far := client.ask(request{Do: "path"}), agent.ask(request{Do: "path"})
		return near.Path == want && far.Path == want && (a.relayOnly || near.MTU >= tunMTU && far.MTU >= tunMTU)
	})
	return p
}

// settle polls another process until something is so.
func settle(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}
