package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/daemon"
)

// statusSettles is how long status gives paths to become direct, or to show why
// they do not: a little longer than a verdict takes to be final.
const statusSettles = 5 * time.Second

// statusEcho is how long status waits for an echo before it sends the next: one that
// is lost says little about a path, and a few that are say all.
const statusEcho = 300 * time.Millisecond

// statusReport is the JSON of status.
type statusReport struct {
	Self   tunnel.Self    `json:"self"`
	Peers  []statusPeer   `json:"peers"`
	Relays []tunnel.Relay `json:"relays"`
}

type statusPeer = daemon.Peer

func newStatusCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show how your workspaces, and those shared with you, can be reached from here", Args: args(cobra.NoArgs),
		Example: `  adit status
  adit status -o json | jq '.peers[] | select(.verdict) | {name, verdict}'`,
		Long: `Show how your workspaces, and those shared with you, can be reached from here.

While 'adit up' runs, it is shown how that reaches them; those that nobody has used
lately have no tunnel, hence no path.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := status(cmd.Context(), a)
			if err != nil {
				return err
			}
			return a.print(report, func(w io.Writer) error { return printStatus(w, report) })
		},
	}
	a.pathFlags(cmd)
	return cmd
}

func status(ctx context.Context, a *app) (statusReport, error) {
	c, err := a.client()
	if err != nil {
		return statusReport{}, err
	}
	if _, s, up := a.daemon(ctx, c); up {
		return statusReport{Self: s.Self, Peers: s.Peers, Relays: s.Relays}, nil
	}
	list, err := reachable(ctx, c)
	if err != nil {
		return statusReport{}, err
	}
	node, err := a.startNode(ctx, c)
	if err != nil {
		return statusReport{}, err
	}
	defer node.Close()
	stop := a.progress("Looking for paths to your workspaces…")
	settled, cancel := context.WithTimeout(ctx, statusSettles)
	defer cancel()
	var probes sync.WaitGroup
	for _, w := range list {
		for _, agent := range w.Agents {
			if agent.State == "connected" {
				probes.Go(func() { settle(settled, node, agent) })
			}
		}
	}
	probes.Wait()
	stop()

	report := statusReport{Self: node.Self(), Peers: []statusPeer{}, Relays: node.Relays()}
	for _, w := range list {
		for _, agent := range w.Agents {
			report.Peers = append(report.Peers, describePeer(node, w, agent))
		}
	}
	return report, nil
}

// reachable lists one's own workspaces, and those of others whom they let connect.
func reachable(ctx context.Context, c *sdk.Client) ([]sdk.Workspace, error) {
	list, err := c.Workspaces(ctx, "me")
	if err != nil {
		return nil, err
	}
	shared, err := c.SharedWorkspaces(ctx)
	if err != nil {
		return nil, err
	}
	return append(list, slices.DeleteFunc(shared, func(w sdk.Workspace) bool { return w.Shared == sdk.ShareApps })...), nil
}

// settle links to an agent and waits until the path is direct or ctx ends. An
// echo makes the tunnel's handshake happen, and its answer proves the path.
func settle(ctx context.Context, node *tunnel.Node, agent sdk.Agent) {
	addr, err := node.Connect(ctx, agent.NodeID)
	if err != nil {
		return // shows as no path
	}
	for ctx.Err() == nil {
		echo, cancel := context.WithTimeout(ctx, statusEcho)
		_, err := node.Ping(echo, addr)
		cancel()
		if p, ok := node.Peer(agent.NodeID); err == nil && ok && p.Verdict == nil && p.Proven {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func describePeer(node *tunnel.Node, w sdk.Workspace, agent sdk.Agent) statusPeer {
	s := statusPeer{
		Name: agent.Name + "." + w.Name + "." + w.Owner, Addresses: []netip.Addr{agent.Address},
		State: agent.State, Path: tunnel.Path{Kind: "none"},
	}
	p, ok := node.Peer(agent.NodeID)
	if !ok {
		s.Verdict = &tunnel.Verdict{
			Code: tunnel.CodePeerOffline, Evidence: "the agent is " + agent.State + ", last seen " + ago(agent.LastConnectedAt),
			Fix: "start the agent on the workspace's host",
		}
		return s
	}
	s.Describe(p)
	return s
}

func printStatus(w io.Writer, r statusReport) error {
	fmt.Fprintf(w, "%s at %s, home relay %s, NAT %s\n\n", r.Self.Name, r.Self.Address, orDash(r.Self.HomeRelay), r.Self.NAT)
	if len(r.Peers) == 0 {
		_, err := fmt.Fprintln(w, "No workspaces yet. Make one: adit create NAME --external")
		return err
	}
	var rows [][]string
	var notes []string
	for _, p := range r.Peers {
		rtt, code := "-", ""
		if p.RTTMs > 0 {
			rtt = fmt.Sprintf("%.1f ms", p.RTTMs)
		}
		if p.Verdict != nil {
			code = p.Verdict.Code
			notes = append(notes, fmt.Sprintf("%s: %s: %s. To fix: %s.", p.Name, code, p.Verdict.Evidence, p.Verdict.Fix))
		}
		rows = append(rows, []string{p.Name, p.State, describePath(p.Path), rtt, code})
	}
	if err := writeTable(w, []string{"WORKSPACE", "STATE", "PATH", "RTT", "VERDICT"}, rows); err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
