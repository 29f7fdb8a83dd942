package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/agent/stats"
	"github.com/aditmesh/adit/agent/task"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

// watchPorts tells the coordinator what listens, until ctx ends.
func watchPorts(ctx context.Context, m sdk.Manifest, node *tunnel.Node, out *outgoing, log *slog.Logger) {
	out.to(node.Tell)
	port.Watch(ctx, port.WatchConfig{Known: func(p uint16) string { return knownProtocol(slices.Concat(m.Ports, out.said()), int(p)) }, Report: out.ports, Logger: log})
}

// settingsOf is what a repository says of ports, in the words of templates. A repository
// has nothing shown to strangers: what it calls public is for who has signed in.
func settingsOf(list []task.Port) (settings []sdk.PortSetting) {
	onOpen := map[string]string{"ignore": sdk.OnOpenIgnore, "open-browser": sdk.OnOpenOpen, "open-preview": sdk.OnOpenOpen}
	visibility := map[string]string{"public": "authenticated"}
	for _, p := range list {
		settings = append(settings, sdk.PortSetting{
			First: int(p.First), Last: int(p.Last), Label: p.Name, Protocol: p.Protocol,
			OnOpen: cmp.Or(onOpen[p.OnOpen], sdk.OnOpenNotify), Visibility: cmp.Or(visibility[p.Visibility], "owner"),
		})
	}
	return settings
}

// knownProtocol is what is said that a port speaks; "" if nothing is.
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
