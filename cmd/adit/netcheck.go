package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/captive"
	"github.com/aditmesh/adit/tunnel"
)

// netcheckFor is how long netcheck waits for relays and the router: blocked UDP
// shows after 1.6 s, and names may take a second to be looked up.
const netcheckFor = 4 * time.Second

func newNetcheckCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "netcheck", Short: "Report on the network this machine is on",
		Long: `Report on the network this machine is on: whether UDP gets through, what kind of
address translation there is, whether the router maps ports, whether the network wants
a sign-in first, how far the relays are and why which is home, and at which addresses
peers are told to try this machine.`,
		Example: `  adit netcheck
  adit netcheck -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := netcheck(cmd.Context(), a)
			if err != nil && report.CaptivePortal == nil {
				return err
			}
			return errors.Join(err, a.print(report, func(w io.Writer) error {
				if err != nil {
					return nil // and the rest is not known
				}
				return printNetcheck(w, report)
			}))
		},
	}
	a.pathFlags(cmd)
	return cmd
}

// networkReport is what netcheck tells.
type networkReport struct {
	tunnel.Network
	// CaptivePortal says whether somebody answers in the place of the coordinator or a
	// relay, until one has signed in; nil when none of them answers plain HTTP.
	CaptivePortal *captive.Portal `json:"captive_portal"`
}

// netcheck looks at the network. With an error, a portal that was found is all that
// is known.
func netcheck(ctx context.Context, a *app) (networkReport, error) {
	c, err := a.client()
	if err != nil {
		return networkReport{}, err
	}
	defer a.progress("Looking at this network…")()
	first := make(chan *captive.Portal, 1)
	go func() { first <- captive.Look(ctx, []*url.URL{c.URL()}) }()
	node, err := a.startNode(ctx, c)
	if err != nil {
		portal := <-first
		if portal == nil || !portal.Found {
			return networkReport{}, err
		}
		return networkReport{Network: tunnel.Network{NAT: "unknown", Relays: []tunnel.Relay{}, Endpoints: []string{}}, CaptivePortal: portal},
			fmt.Errorf("this network wants a sign-in first; open %s in a browser (%w)", portal.SignIn, err)
	}
	defer node.Close()
	looked, cancel := context.WithTimeout(ctx, netcheckFor)
	defer cancel()
	report := networkReport{Network: node.Network(looked), CaptivePortal: <-first}
	if p := captive.Look(ctx, relayURLs(report.Relays)); report.CaptivePortal == nil || p != nil && p.Found {
		report.CaptivePortal = p
	}
	return report, nil
}

// relayURLs is where relays are.
func relayURLs(relays []tunnel.Relay) (all []*url.URL) {
	for _, r := range relays {
		if u, err := url.Parse(r.URL); err == nil && u.Host != "" {
			all = append(all, u)
		}
	}
	return all
}

func printNetcheck(w io.Writer, r networkReport) error {
	rows := [][]string{
		{"UDP over IPv4", yesOr(r.UDP.IPv4, "no answer")},
		{"UDP over IPv6", yesOr(r.UDP.IPv6, "no answer")},
		{"Address translation", describeNAT(r.Network)},
		{"Port mapping", describeMapping(r.PortMapping)},
		{"Captive portal", describePortal(r.CaptivePortal)},
		{"Home relay", describeHome(r.Network)},
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

// describePortal writes whether one has to sign in to the network.
func describePortal(p *captive.Portal) string {
	switch {
	case p == nil:
		return "unknown; nobody answers HTTP"
	case p.Found:
		return "yes; open " + oneLine(p.SignIn) + " in a browser and sign in"
	}
	return "no"
}

// describeHome writes which region is home, and why.
func describeHome(r tunnel.Network) string {
	if r.NoRelay != "" {
		return oneLine(r.NoRelay)
	}
	if r.HomeWhy == "" {
		return orDash(r.HomeRelay)
	}
	return r.HomeRelay + "; " + r.HomeWhy
}

// describeNAT writes what the network does to UDP addresses.
func describeNAT(r tunnel.Network) string {
	switch {
	case r.NAT == "unknown" && r.NoRelay != "":
		return "unknown; no relay answers over UDP either"
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
