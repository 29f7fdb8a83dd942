package agent

import (
	"errors"
	"log/slog"

	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/agent/stats"
	"github.com/aditmesh/adit/tunnel"
)

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
