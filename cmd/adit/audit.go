package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

// auditPage is how many entries are asked for at once.
const auditPage = 200

func newAuditCmd(a *app) *cobra.Command {
	var f sdk.AuditFilter
	var since time.Duration
	var limit int
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what, the newest first", Args: args(cobra.NoArgs),
		Example: `  adit audit --since 24h
  adit audit --actor alice --action workspace
  adit audit --outcome refused -o json | jq -r '.[].actor.remote'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit %d: want 1 or more", limit)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if since > 0 {
				f.Since = time.Now().Add(-since)
			}
			list := []sdk.AuditEntry{}
			for len(list) < limit {
				f.Limit = min(limit-len(list), auditPage)
				p, err := c.Audit(cmd.Context(), f)
				if err != nil {
					return err
				}
				list = append(list, p.Items...)
				if f.Cursor = p.NextCursor; f.Cursor == "" {
					break
				}
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, e := range list {
					actor := e.Actor.Name
					if actor == "" {
						actor = "(" + e.Actor.Kind + ")"
					}
					what := e.Action
					if e.Outcome != "done" {
						what += " (" + e.Outcome + ")"
					}
					rows = append(rows, []string{e.At.Local().Format(time.DateTime), actor, orDash(e.Actor.Remote), what,
						orDash(e.ObjectName), orDash(difference(e.Before, e.After))})
				}
				return writeTable(w, []string{"TIME", "WHO", "FROM", "WHAT", "OBJECT", "CHANGED"}, rows)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Actor, "actor", "", "only what this user did")
	flags.StringVar(&f.Action, "action", "", "only this, such as workspace.created, or workspace for all of that kind")
	flags.StringVar(&f.Object, "object", "", "only what was done to this, by name or id")
	flags.StringVar(&f.Outcome, "outcome", "", "done or refused")
	flags.DurationVar(&since, "since", 0, "only from so long ago on")
	flags.IntVar(&limit, "limit", 100, "at most so many")
	return cmd
}

// difference names what a change made different; nothing of what is new or gone.
func difference(before, after map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(after)) {
		was, ok := before[k]
		if now := after[k]; ok && fmt.Sprint(was) != fmt.Sprint(now) {
			parts = append(parts, fmt.Sprintf("%s: %s → %s", k, valueText(was), valueText(now)))
		}
	}
	return strings.Join(parts, ", ")
}

func valueText(v any) string {
	if v == nil {
		return "none"
	}
	return oneLine(fmt.Sprint(v))
}
