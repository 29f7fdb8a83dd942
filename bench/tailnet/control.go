package main

import (
	"context"
	"net"
	"net/http"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"

	"github.com/aditmesh/adit/bench/role"
)

// control plays a control server that lets everybody in and to everybody.
func control(_ context.Context, conf role.Config, v *role.Voice) error {
	l, err := net.Listen("tcp", conf.Listen.String())
	if err != nil {
		return err
	}
	host := conf.Relay.Addr().String()
	server := &testcontrol.Server{
		Logf:             logger.Discard,
		AllNodesSameUser: true,
		AllOnline:        true,
		ExplicitBaseURL:  "http://" + conf.Listen.String(),
		DERPMap: &tailcfg.DERPMap{OmitDefaultRegions: true, Regions: map[int]*tailcfg.DERPRegion{1: {
			RegionID: 1, RegionCode: "lab", RegionName: "Lab",
			Nodes: []*tailcfg.DERPNode{{
				Name: "1a", RegionID: 1, HostName: host, IPv4: host, IPv6: "none",
				DERPPort: int(conf.Relay.Port()), STUNPort: 3478,
				InsecureForTests: true, // its certificate is its own
				STUNTestIP:       host, // or loopback would not do
			}},
		}}},
	}
	if err := v.Say(role.Ready{Addr: server.ExplicitBaseURL}); err != nil {
		return err
	}
	go func() { _ = http.Serve(l, server) }() // until the process ends
	_, err = v.Listen()
	return err
}
