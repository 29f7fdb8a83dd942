package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/tunnel"
)

// pingLost is how long an echo may take before it counts as lost.
const pingLost = 2 * time.Second

type pingFlags struct {
	count           int
	untilDirect     bool
	timeout, period time.Duration
}

// pingLine is one echo, as JSON.
type pingLine struct {
	Seq     int             `json:"seq"`
	RTTMs   float64         `json:"rtt_ms"`
	Path    tunnel.Path     `json:"path"`
	Verdict *tunnel.Verdict `json:"verdict,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func newPingCmd(a *app) *cobra.Command {
	var f pingFlags
	cmd := &cobra.Command{
		Use: "ping WS", Short: "Send echoes through the tunnel, and tell by which path they came",
		Example: `  adit ping dev -c 5
  adit ping dev --until-direct --timeout 10s -o json`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error { return ping(cmd.Context(), a, argv[0], f) },
	}
	a.pathFlags(cmd)
	cmd.Flags().IntVarP(&f.count, "count", "c", 0, "stop after this many (default: until interrupted)")
	cmd.Flags().BoolVar(&f.untilDirect, "until-direct", false, "stop at the first answer by a direct path; exit 1 if there is none in time")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "stop after this long (default: 30s with --until-direct)")
	cmd.Flags().DurationVarP(&f.period, "interval", "i", time.Second, "pause between echoes (100ms with --until-direct)")
	return cmd
}

func ping(ctx context.Context, a *app, name string, f pingFlags) error {
	if f.count < 0 || f.period <= 0 {
		return usagef("--count and --interval cannot be negative")
	}
	if f.untilDirect {
		f.period = min(f.period, 100*time.Millisecond)
		if f.timeout == 0 {
			f.timeout = 30 * time.Second
		}
	}
	t, err := a.connect(ctx, name, connectTimeout)
	if err != nil {
		return err
	}
	defer t.node.Close()
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	answered := 0
	var last pingLine
	for seq := 1; f.count == 0 || seq <= f.count; seq++ {
		line, ok := echo(ctx, t, seq)
		if !ok && ctx.Err() != nil {
			break // cut short by the time or by the user, not lost
		}
		if ok {
			answered++
		}
		last = line
		if err := a.printPing(line, t); err != nil {
			return err
		}
		if f.untilDirect && ok && line.Path.Kind == "direct" {
			return nil
		}
		if f.count != 0 && seq == f.count {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(f.period):
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case f.untilDirect:
		return fmt.Errorf("no direct path to %s%s", t.name, why(last.Verdict))
	case answered == 0:
		return fmt.Errorf("no answer from %s%s", t.name, why(last.Verdict))
	}
	return nil
}

func why(v *tunnel.Verdict) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(": %s (%s); %s", v.Code, v.Evidence, v.Fix)
}

// echo sends one echo and tells by which path it can have come.
func echo(ctx context.Context, t *target, seq int) (pingLine, bool) {
	ctx, cancel := context.WithTimeout(ctx, pingLost)
	defer cancel()
	rtt, err := t.node.Ping(ctx, t.addr)
	line := pingLine{Seq: seq, RTTMs: float64(rtt.Microseconds()) / 1000}
	p, ok := t.node.Peer(t.agent.NodeID)
	if ok {
		line.Path, line.Verdict = p.Path, p.Verdict
	} else {
		line.Path = tunnel.Path{Kind: "none"}
	}
	if err != nil {
		line.Error = "no answer"
		if !errors.Is(err, context.DeadlineExceeded) {
			line.Error = err.Error()
		}
	}
	return line, err == nil
}

func (a *app) printPing(line pingLine, t *target) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(line)
	}
	text := fmt.Sprintf("seq=%d %s", line.Seq, line.Error)
	if line.Error == "" {
		text = fmt.Sprintf("seq=%d time=%.2f ms via %s", line.Seq, line.RTTMs, describePath(line.Path))
	}
	if line.Verdict != nil {
		text += " (" + line.Verdict.Code + ")"
	}
	_, err := fmt.Fprintf(a.out, "%s: %s\n", t.name, text)
	return err
}

// describePath writes a path for people.
func describePath(p tunnel.Path) string {
	switch {
	case p.Region != "":
		return p.Kind + " " + p.Region
	case p.Addr != "":
		return p.Kind + " " + p.Addr
	default:
		return p.Kind
	}
}
