package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent/speed"
	"github.com/aditmesh/adit/tunnel"
)

// settleTime is how long a speed test waits for a direct path: it is to measure
// the path that there will be.
const settleTime = 3 * time.Second

type speedFlags struct {
	lasts        time.Duration
	reverse, udp bool
}

// speedReport is the result, as JSON.
type speedReport struct {
	BitsPerSecond float64     `json:"bits_per_second"`
	Bytes         int64       `json:"bytes"`
	Seconds       float64     `json:"seconds"`
	Path          tunnel.Path `json:"path"`
	// Loss is the share of datagrams lost; null over TCP.
	Loss *float64 `json:"loss,omitempty"`
}

func newSpeedtestCmd(a *app) *cobra.Command {
	var f speedFlags
	cmd := &cobra.Command{
		Use: "speedtest WS", Short: "Measure how much the tunnel to a workspace carries",
		Example: `  adit speedtest dev                 # to the workspace, for 5 seconds
  adit speedtest dev --reverse       # from the workspace
  adit speedtest dev --udp -t 10s    # datagrams, and how many are lost`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error { return speedtest(cmd.Context(), a, argv[0], f) },
	}
	a.pathFlags(cmd)
	cmd.Flags().DurationVarP(&f.lasts, "time", "t", 5*time.Second, fmt.Sprintf("how long to send, at most %v", speed.MaxDuration))
	cmd.Flags().BoolVar(&f.reverse, "reverse", false, "have the workspace send")
	cmd.Flags().BoolVar(&f.udp, "udp", false, "send datagrams as fast as the tunnel takes them, and tell how many are lost")
	return cmd
}

func speedtest(ctx context.Context, a *app, name string, f speedFlags) error {
	if f.lasts <= 0 || f.lasts > speed.MaxDuration {
		return usagef("--time %v: want more than nothing and at most %v", f.lasts, speed.MaxDuration)
	}
	t, err := a.connect(ctx, name, connectTimeout)
	if err != nil {
		return err
	}
	defer t.node.Close()
	if !a.path.RelayOnly {
		t.awaitDirect(ctx, settleTime)
	}

	var count atomic.Int64
	progress, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		a.showSpeed(progress, &count)
	}()
	got, err := speed.Run(ctx, t.node, netip.AddrPortFrom(t.addr, speed.Port), speed.Request{
		Seconds: f.lasts.Seconds(), Reverse: f.reverse, Datagrams: f.udp,
	}, func(n int) { count.Add(int64(n)) })
	stop()
	<-shown
	if err != nil {
		return err
	}
	report := speedReport{BitsPerSecond: got.BitsPerSecond(), Bytes: got.Bytes, Seconds: got.Seconds, Path: t.path()}
	if f.udp {
		report.Loss = &got.Loss
	}
	return a.print(report, func(w io.Writer) error { return writeSpeed(w, t, report, f.reverse) })
}

// path is how packets to the agent travel now.
func (t *target) path() tunnel.Path {
	if p, ok := t.node.Peer(t.agent.NodeID); ok {
		return p.Path
	}
	return tunnel.Path{Kind: "none"}
}

// awaitDirect waits for a direct path, but no longer than there may still be one.
func (t *target) awaitDirect(ctx context.Context, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p, ok := t.node.Peer(t.agent.NodeID)
		if ok && p.Path.Kind == "direct" {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// showSpeed writes a line a second to who watches, until ctx ends.
func (a *app) showSpeed(ctx context.Context, count *atomic.Int64) {
	if a.output == "json" || !isTerminal(a.out) {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second, last := 1, int64(0); ; second++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := count.Load()
		fmt.Fprintf(a.out, "%3d s  %s\n", second, bitRate(float64(now-last)*8))
		last = now
	}
}

func writeSpeed(w io.Writer, t *target, r speedReport, reverse bool) error {
	way := "to"
	if reverse {
		way = "from"
	}
	text := fmt.Sprintf("%s %s %s via %s (%.1f MB in %.2f s", bitRate(r.BitsPerSecond), way, t.name, describePath(r.Path), float64(r.Bytes)/1e6, r.Seconds)
	if r.Loss != nil {
		text += fmt.Sprintf(", %.2f %% of datagrams lost", *r.Loss*100)
	}
	_, err := fmt.Fprintln(w, text+")")
	return err
}

// bitRate writes a rate for people.
func bitRate(perSecond float64) string {
	switch {
	case perSecond >= 1e9:
		return fmt.Sprintf("%.2f Gbit/s", perSecond/1e9)
	case perSecond >= 1e6:
		return fmt.Sprintf("%.1f Mbit/s", perSecond/1e6)
	default:
		return fmt.Sprintf("%.1f kbit/s", perSecond/1e3)
	}
}
