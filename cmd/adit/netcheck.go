package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/tunnel"
)

// netcheckFor is how long netcheck waits for relays and the router: blocked UDP
// shows after 1.6 s, and names may take a second to be looked up.
const netcheckFor = 4 * time.Second

func newNetcheckCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "netcheck", Short: "Report on the network this machine is on",
		Long: `Report on the network this machine is on: whether UDP gets through, what kind of
address translation there is, whether the router maps ports, how far the relays
are and why which is home, and at which addresses peers are told to try this machine.`,
		Example: `  adit netcheck
  adit netcheck -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := netcheck(cmd.Context(), a)
			if err != nil {
				return err
			}
			return a.print(report, func(w io.Writer) error { return printNetcheck(w, report) })
		},
	}
	a.pathFlags(cmd)
	return cmd
}

func netcheck(ctx context.Context, a *app) (tunnel.Network, error) {
	c, err := a.client()
	if err != nil {
		return tunnel.Network{}, err
	}
	node, err := a.startNode(ctx, c)
	if err != nil {
		return tunnel.Network{}, err
	}
	defer node.Close()
	defer a.progress("Looking at this network…")()
	ctx, cancel := context.WithTimeout(ctx, netcheckFor)
	defer cancel()
	return node.Network(ctx), nil
}

func printNetcheck(w io.Writer, r tunnel.Network) error {
	rows := [][]string{
		{"UDP over IPv4", yesOr(r.UDP.IPv4, "no answer")},
		{"UDP over IPv6", yesOr(r.UDP.IPv6, "no answer")},
		{"Address translation", describeNAT(r)},
		{"Port mapping", describeMapping(r.PortMapping)},
		{"Home relay", describeHome(r)},
	}
	for i, e := range r.Endpoints {
		name := ""
		if i == 0 {
			name = "Addresses to try"
		}
		rows = append(rows, []string{name, e})
	}
	if err := writeTable(w, []string{"CHECK", "RESULT"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	rows = nil
	for _, relay := range r.Relays {
		rtt, note := "-", relay.Error
		if relay.RTTMs > 0 {
			rtt = fmt.Sprintf("%.1f ms", relay.RTTMs)
		}
		if note == "" && relay.Home {
			note = "home"
		}
		rows = append(rows, []string{relay.Region, rtt, relay.URL, oneLine(note)})
	}
	return writeTable(w, []string{"RELAY", "RTT", "URL", "NOTE"}, rows)
}

func yesOr(yes bool, no string) string {
	if yes {
		return "yes"
	}
	return no
}

// describeHome writes which region is home, and why.
func describeHome(r tunnel.Network) string {
	if r.HomeWhy == "" {
		return orDash(r.HomeRelay)
	}
	return r.HomeRelay + "; " + r.HomeWhy
}

// describeNAT writes what the network does to UDP addresses.
func describeNAT(r tunnel.Network) string {
	switch {
	case r.NAT == "udp-blocked":
		return "UDP is blocked; all goes over relays"
	case r.MappingVaries == nil:
		return "unknown"
	case *r.MappingVaries:
		return "hard: each destination sees another port"
	default:
		return "easy, or none"
	}
}

// describeMapping writes how the router can be asked for a port.
func describeMapping(m *tunnel.PortMapping) string {
	if m == nil {
		return "off"
	}
	var names []string
	for _, s := range []struct {
		has  bool
		name string
	}{{m.UPnP, "UPnP"}, {m.NATPMP, "NAT-PMP"}, {m.PCP, "PCP"}} {
		if s.has {
			names = append(names, s.name)
		}
	}
	switch {
	case len(names) == 0:
		return "none"
	case m.External == "":
		return strings.Join(names, ", ") + "; no port was given"
	default:
		return strings.Join(names, ", ") + "; " + m.External
	}
}
