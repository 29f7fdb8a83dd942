package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"tailscale.com/tsnet"
	"tailscale.com/types/logger"

	"github.com/aditmesh/adit/bench/role"
)

// tsnetNode plays a node with Tailscale's stack in the process.
func tsnetNode(ctx context.Context, conf role.Config, v *role.Voice) error {
	s := &tsnet.Server{
		Dir: conf.Dir, Hostname: conf.Name, ControlURL: conf.URL, Ephemeral: true,
		UserLogf: logger.Discard, Logf: logger.Discard,
	}
	defer s.Close()
	status, err := s.Up(ctx)
	if err != nil {
		return err
	}
	addr := status.TailscaleIPs[0]
	n := &tailNet{s, addr}
	t := role.NewTraffic(n, n.path)
	if err := t.Serve(); err != nil {
		return err
	}
	if err := v.Say(role.Ready{Addr: addr.String()}); err != nil {
		return err
	}
	return t.Answer(ctx, v)
}

// tailNet is the stack inside a node of tsnet.
type tailNet struct {
	server *tsnet.Server
	addr   netip.Addr
}

func (n *tailNet) DialTCP(ctx context.Context, to string) (net.Conn, error) {
	return n.server.Dial(ctx, "tcp", to)
}

func (n *tailNet) DialUDP(ctx context.Context, to string) (net.Conn, error) {
	return n.server.Dial(ctx, "udp", to)
}

func (n *tailNet) ListenTCP(port uint16) (net.Listener, error) {
	return n.server.Listen("tcp", fmt.Sprintf(":%d", port))
}

func (n *tailNet) ListenUDP(port uint16) (net.PacketConn, error) {
	return n.server.ListenPacket("udp", netip.AddrPortFrom(n.addr, port).String())
}

// path says how packets travel to the peer with an address.
func (n *tailNet) path(to string) (kind string, mtu int) {
	local, err := n.server.LocalClient()
	if err != nil {
		return "none", 0
	}
	status, err := local.Status(context.Background())
	if err != nil {
		return "none", 0
	}
	for _, p := range status.Peer {
		if !slices.ContainsFunc(p.TailscaleIPs, func(ip netip.Addr) bool { return ip.String() == to }) {
			continue
		}
		switch {
		case p.CurAddr != "":
			return "direct", 0
		case p.Relay != "":
			return "derp", 0
		}
	}
	return "none", 0
}
