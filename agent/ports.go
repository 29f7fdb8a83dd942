package agent

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/agent/stats"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

// watchPorts tells the coordinator what listens, until ctx ends.
func watchPorts(ctx context.Context, m sdk.Manifest, node *tunnel.Node, out *outgoing, log *slog.Logger) {
	out.to(node.Tell)
	port.Watch(ctx, port.WatchConfig{Known: func(p uint16) string { return knownProtocol(m.Ports, int(p)) }, Report: out.ports, Logger: log})
}

// knownProtocol is what a template says that a port speaks; "" if it says nothing.
func knownProtocol(settings []sdk.PortSetting, number int) string {
	for _, s := range settings {
		if s.First <= number && number <= s.Last && s.Protocol != "" {
			return s.Protocol
		}
	}
	return ""
}

// listenForwards listens for peers who forward what a connection to a port cannot.
func listenForwards(node *tunnel.Node, tally *stats.Tally, log *slog.Logger) (*port.Server, error) {
	l, err := node.ListenTCP(port.Port)
	if err != nil {
		return nil, err
	}
	packets, err := node.ListenUDP(port.Port)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return port.NewServer(port.Config{Listener: l, Packets: packets, Tally: tally, Logger: log}), nil
}
