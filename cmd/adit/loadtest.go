package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/loadtest"
)

func newLoadtestCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "loadtest", Short: "Put load on a deployment and measure how it bears it",
		Long: `Put load on a deployment and measure how it bears it. Only its owners may.

Agents and clients are simulated: they speak the control protocol, and carry no
traffic. The workspaces that a test makes have names that begin with
"` + loadtest.Prefix + `"; they are deleted in the end, also when it is interrupted.`,
		Example: `  adit loadtest agents --count 1000 --hold 1m
  adit loadtest api --rate 100 --workspaces 10000
  adit loadtest churn -o json
  adit loadtest clean                   # what a killed one left`,
	}
	cmd.AddCommand(newLoadtestAgentsCmd(a), newLoadtestAPICmd(a), newLoadtestChurnCmd(a), newLoadtestCleanCmd(a))
	return cmd
}

// loadtestConfig returns what all load tests need, for one of the nodes given,
// once it is known that the caller may and this machine can.
func (a *app) loadtestConfig(ctx context.Context, nodes, concurrency int) (loadtest.Config, error) {
	c, err := a.client()
	if err != nil {
		return loadtest.Config{}, err
	}
	c = c.WithTransport(loadtest.Transport())
	if err := loadtest.Allowed(ctx, c); err != nil {
		return loadtest.Config{}, err
	}
	if most := maxOpenFiles(); most > 0 && uint64(nodes)+spareFiles > most {
		return loadtest.Config{}, fmt.Errorf("%d nodes need as many open files, and this process may have %d; raise it with 'ulimit -n', or take fewer", nodes, most)
	}
	return loadtest.Config{Client: c, Concurrency: concurrency, Progress: a.loadtestProgress(), Version: version}, nil
}

// spareFiles is what a process opens besides its nodes' connections.
const spareFiles = 128

// loadtestProgress shows how far a test is: on a terminal always, elsewhere a
// line for each stage, and all on stderr.
func (a *app) loadtestProgress() func(stage string, done, total int) {
	if isTerminal(a.err) {
		last := ""
		return func(stage string, done, total int) {
			if stage != last && last != "" {
				fmt.Fprintln(a.err)
			}
			last = stage
			fmt.Fprintf(a.err, "\r\x1b[K%s: %d of %d", stage, done, total)
			if done == total && stage != "holding agents" {
				fmt.Fprint(a.err, " ✓")
			}
		}
	}
	var mu sync.Mutex
	last := ""
	return func(stage string, done, total int) {
		mu.Lock()
		defer mu.Unlock()
		if stage != last {
			last = stage
			fmt.Fprintf(a.err, "%s: %d of %d\n", stage, done, total)
		}
	}
}

// loadtestEnd prints a result, also of a test that ended with an error.
func (a *app) loadtestEnd(result any, err error, human func(io.Writer) error) error {
	if isTerminal(a.err) {
		fmt.Fprintln(a.err)
	}
	return errors.Join(err, a.print(result, human))
}

func newLoadtestAgentsCmd(a *app) *cobra.Command {
	var c loadtest.AgentsConfig
	var concurrency int
	cmd := &cobra.Command{
		Use: "agents", Short: "Connect agents that do nothing, and hold them",
		Example: `  adit loadtest agents --count 10000 --hold 5m -o json`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.Count < 1 {
				return usagef("--count %d: want 1 or more", c.Count)
			}
			if c.Config, err = a.loadtestConfig(cmd.Context(), c.Count, concurrency); err != nil {
				return err
			}
			r, err := loadtest.Agents(cmd.Context(), c)
			return a.loadtestEnd(r, err, func(w io.Writer) error {
				fmt.Fprintf(w, "%d agents connected in %.1f s, held for %.1f s; %d missing in the end\n", r.Agents-r.Missing, r.ConnectSeconds, r.HeldSeconds, r.Missing)
				for _, o := range r.Outages {
					fmt.Fprintf(w, "%d lost their sessions; all were back after %.1f s\n", o.Agents, o.Seconds)
				}
				return writeSpreads(w, map[string]loadtest.Spread{"make workspace": r.Make, "connect agent": r.Connect}, r.Errors)
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&c.Count, "count", 100, "how many agents")
	flags.DurationVar(&c.Hold, "hold", 30*time.Second, "how long to hold them once all are connected")
	flags.DurationVar(&c.Settle, "settle", 2*time.Minute, "how long they may take to connect, and to be back after an outage")
	flags.IntVar(&c.Connecting, "connecting", 256, "how many dial for the first time at once; 0 is all")
	concurrencyFlag(cmd, &concurrency)
	return cmd
}

func newLoadtestAPICmd(a *app) *cobra.Command {
	var c loadtest.APIConfig
	var concurrency int
	cmd := &cobra.Command{
		Use: "api", Short: "Read, list and write workspaces at a steady rate",
		Example: `  adit loadtest api --rate 100 --workspaces 10000 --duration 1m -o json`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.Rate <= 0 {
				return usagef("--rate %v: want more than 0", c.Rate)
			}
			if c.Workspaces < 1 {
				return usagef("--workspaces %d: want 1 or more", c.Workspaces)
			}
			if c.Config, err = a.loadtestConfig(cmd.Context(), 0, concurrency); err != nil {
				return err
			}
			r, err := loadtest.API(cmd.Context(), c)
			return a.loadtestEnd(r, err, func(w io.Writer) error {
				fmt.Fprintf(w, "%d requests in %.1f s, %.1f a second, %d failed; %d workspaces\n", r.Requests, r.Seconds, r.Rate, r.Failed, r.Workspaces)
				rows := maps.Clone(r.Operations)
				for kind, s := range r.Kinds {
					rows["all "+kind+"s"] = s
				}
				return writeSpreads(w, rows, r.Errors)
			})
		},
	}
	flags := cmd.Flags()
	flags.Float64Var(&c.Rate, "rate", 20, "requests a second")
	flags.IntVar(&c.Workspaces, "workspaces", 100, "how many workspaces there are")
	flags.DurationVar(&c.Duration, "duration", 30*time.Second, "how long to ask")
	concurrencyFlag(cmd, &concurrency)
	return cmd
}

func newLoadtestChurnCmd(a *app) *cobra.Command {
	var c loadtest.ChurnConfig
	var concurrency int
	cmd := &cobra.Command{
		Use: "churn", Short: "Let nodes come, go and move, and see when their peers know",
		Example: `  adit loadtest churn --agents 1000 --clients 100 --watch 20 --rate 100 -o json`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if c.Agents < 1 || c.Clients < 1 || c.Rate <= 0 {
				return usagef("--agents, --clients and --rate: want more than 0")
			}
			c.Watch = min(c.Watch, c.Agents)
			if c.Config, err = a.loadtestConfig(cmd.Context(), c.Agents+c.Clients, concurrency); err != nil {
				return err
			}
			r, err := loadtest.Churn(cmd.Context(), c)
			return a.loadtestEnd(r, err, func(w io.Writer) error {
				fmt.Fprintf(w, "%d events in %.1f s among %d agents and %d clients; %d updates arrived, %d were overtaken by later ones, %d missed\n",
					r.Events, r.Seconds, r.Agents, r.Clients, r.Arrived, r.Overtaken, r.Missed)
				return writeSpreads(w, r.Updates, r.Errors)
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&c.Agents, "agents", 100, "how many agents")
	flags.IntVar(&c.Clients, "clients", 20, "how many clients")
	flags.IntVar(&c.Watch, "watch", 10, "how many agents each client watches")
	flags.Float64Var(&c.Rate, "rate", 50, "events a second")
	flags.DurationVar(&c.Duration, "duration", 30*time.Second, "how long")
	concurrencyFlag(cmd, &concurrency)
	return cmd
}

func newLoadtestCleanCmd(a *app) *cobra.Command {
	var concurrency int
	cmd := &cobra.Command{
		Use: "clean", Short: "Delete the workspaces that your killed load tests left", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.loadtestConfig(cmd.Context(), 0, concurrency)
			if err != nil {
				return err
			}
			n, err := loadtest.Clean(cmd.Context(), c)
			result := struct {
				Deleted int `json:"deleted"`
			}{n}
			if err != nil {
				return err
			}
			return a.loadtestEnd(result, nil, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d workspaces deleted\n", n)
				return err
			})
		},
	}
	concurrencyFlag(cmd, &concurrency)
	return cmd
}

func concurrencyFlag(cmd *cobra.Command, n *int) {
	cmd.Flags().IntVar(n, "concurrency", 16, "how many requests make and delete workspaces at once")
}

// writeSpreads writes how long things took, and what went wrong.
func writeSpreads(w io.Writer, spreads map[string]loadtest.Spread, errs map[string]int) error {
	var rows [][]string
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	for _, what := range slices.Sorted(maps.Keys(spreads)) {
		s := spreads[what]
		rows = append(rows, []string{what, strconv.Itoa(s.Count), ms(s.P50), ms(s.P95), ms(s.P99), ms(s.Max)})
	}
	if err := writeTable(w, []string{"MILLISECONDS", "COUNT", "P50", "P95", "P99", "MAX"}, rows); err != nil {
		return err
	}
	for _, text := range slices.Sorted(maps.Keys(errs)) {
		if _, err := fmt.Fprintf(w, "%d × %s\n", errs[text], oneLine(text)); err != nil {
			return err
		}
	}
	return nil
}
