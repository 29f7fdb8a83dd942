package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/path"
)

// linkTimeout bounds how long a link to a peer that is there may take.
const linkTimeout = 30 * time.Second

// adit plays a node of ours.
func adit(ctx context.Context, conf role.Config, v *role.Voice) error {
	node, err := startNode(ctx, conf, v)
	if err != nil {
		return err
	}
	defer node.Close()
	t := role.NewTraffic(meshNet{node}, func(string) (string, int) { return pathTo(node, conf.Peer) })
	if !conf.TUN {
		if err := t.Serve(); err != nil {
			return err
		}
	}
	if err := v.Say(role.Ready{Addr: node.Address().String(), ID: node.ID()}); err != nil {
		return err
	}
	if conf.Events {
		node.Network(ctx) // being up includes knowing where one is, as it does for the others
	}
	if conf.Peer != "" {
		linkCtx, cancel := context.WithTimeout(ctx, linkTimeout)
		defer cancel()
		addr, err := node.Connect(linkCtx, conf.Peer)
		if err != nil {
			return err
		}
		if conf.Events {
			go echoUntil(ctx, node, addr, v)
		} else if err := v.Say(role.Ready{Addr: addr.String(), ID: conf.Peer}); err != nil {
			return err
		}
	}
	return t.Answer(ctx, v)
}

const aditInterface = "adit0"

func startNode(ctx context.Context, conf role.Config, v *role.Voice) (*tunnel.Node, error) {
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
	}
	if conf.Events {
		config.Logger = slog.New(teller{v})
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

const (
	// echoTimeout is how long an answer may take before the next is sent, and
	// echoPause what lies between two: traffic there must be, but little.
	echoTimeout = 500 * time.Millisecond
	echoPause   = 20 * time.Millisecond
)

// echoUntil sends echoes until ctx ends, and tells of the first that came back.
func echoUntil(ctx context.Context, node *tunnel.Node, to netip.Addr, v *role.Voice) {
	told := false
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, echoTimeout)
		_, err := node.Ping(once, to)
		cancel()
		if err == nil && !told {
			told = v.Say(role.Event{What: "echo", At: time.Now()}) == nil
		}
		<-time.After(echoPause)
	}
}

// teller is a log handler that makes events of what the path engine logs.
type teller struct{ v *role.Voice }

func (teller) Enabled(context.Context, slog.Level) bool { return true }
func (h teller) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h teller) WithGroup(string) slog.Handler          { return h }

func (h teller) Handle(_ context.Context, r slog.Record) error {
	attr := func(key string) (value string) {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == key {
				value = a.Value.String()
			}
			return a.Key != key
		})
		return value
	}
	switch {
	case r.Message == "peer known":
		return h.v.Say(role.Event{What: "known", At: r.Time})
	case r.Message == "path changed" && attr("mode") == "direct":
		return h.v.Say(role.Event{What: "direct", At: r.Time})
	case r.Message == "network known":
		return h.v.Say(role.Event{What: "nat " + attr("nat"), At: r.Time})
	}
	return nil
}

// meshNet is the stack inside a node.
type meshNet struct{ node *tunnel.Node }

func (n meshNet) DialTCP(ctx context.Context, to string) (net.Conn, error) {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	return n.node.DialTCP(ctx, addr)
}

func (n meshNet) DialUDP(ctx context.Context, to string) (net.Conn, error) {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	return n.node.DialUDP(ctx, addr)
}

func (n meshNet) ListenTCP(port uint16) (net.Listener, error) { return n.node.ListenTCP(port) }

func (n meshNet) ListenUDP(port uint16) (net.PacketConn, error) { return n.node.ListenUDP(port) }
