package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newStatsCmd(a *app) *cobra.Command {
	var by string
	var since time.Duration
	cmd := &cobra.Command{
		Use: "stats WS", Short: "Show what a workspace's agents did and used", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: `  adit stats dev
  adit stats dev --by day --since 720h -o json`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if by != sdk.StatsMinutes && by != sdk.StatsHours && by != sdk.StatsDays {
				return usagef("--by %s: use minute, hour or day", by)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			var from time.Time
			if since > 0 {
				from = time.Now().Add(-since)
			}
			list, err := c.WorkspaceStats(cmd.Context(), w.Owner, w.Name, by, from)
			if err != nil {
				return err
			}
			return a.print(list, func(out io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(out, "Nothing yet: agents report each minute, and hours and days follow some minutes later.")
					return err
				}
				var rows [][]string
				for _, s := range list {
					rows = append(rows, statsRow(s))
				}
				return writeTable(out, []string{"SINCE", "AGENT", "ACTIVE", "SSH", "SFTP", "PORTS", "IN", "OUT", "CPU", "MEMORY", "DISK", "LATENCY"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", sdk.StatsMinutes, "minute, hour or day; minutes are kept for an hour or two, hours for two weeks")
	cmd.Flags().DurationVar(&since, "since", 0, "how far back (default: an hour, two days or a month)")
	return cmd
}

func statsRow(s sdk.Stats) []string {
	latency := "-"
	if s.LatencyMs != nil {
		latency = fmt.Sprintf("%.1f ms", *s.LatencyMs)
	}
	return []string{
		s.At.Local().Format("2006-01-02 15:04"), orDash(s.Agent), time.Duration(s.ActiveSeconds * float64(time.Second)).Round(time.Second).String(),
		fmt.Sprint(s.Sessions.SSH), fmt.Sprint(s.Sessions.SFTP), fmt.Sprint(s.Sessions.Forwards), size(s.RxBytes), size(s.TxBytes),
		fmt.Sprintf("%.2f of %.4g", s.CPU, s.CPULimit), share(s.Memory, s.MemoryLimit), share(s.Disk, s.DiskLimit), latency,
	}
}

// share writes how much of something is used.
func share(used, limit int64) string {
	if limit == 0 {
		return "-"
	}
	return size(used) + " of " + size(limit)
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// printMeasured writes what an agent's template has it measure, and what it last
// used.
func printMeasured(out io.Writer, agent sdk.Agent, stats []sdk.Stats) {
	for _, s := range stats {
		if s.Agent == agent.Name {
			fmt.Fprintf(out, "CPU        %.2f of %.4g cores\nMemory     %s\nDisk       %s\n", s.CPU, s.CPULimit, share(s.Memory, s.MemoryLimit), share(s.Disk, s.DiskLimit))
			break // the newest is first
		}
	}
	for _, m := range agent.Metadata {
		name, value := m.DisplayName, m.Value
		if name == "" {
			name = m.Key
		}
		switch {
		case m.Error != "":
			value = strings.TrimSpace(value + " (" + m.Error + ")")
		case m.At == nil:
			value = "-"
		}
		fmt.Fprintf(out, "%-10s %s\n", oneLine(name), oneLine(value))
	}
}
