package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newListCmd(a *app) *cobra.Command {
	var all, shared bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List workspaces", Args: args(cobra.NoArgs),
		Example: `  adit list
  adit list --shared    # those of others who let you in`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := listed(cmd.Context(), c, all, shared)
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				if len(list) == 0 && shared {
					_, err := fmt.Fprintln(w, "Nobody shares a workspace with you.")
					return err
				}
				if len(list) == 0 {
					_, err := fmt.Fprintln(w, "No workspaces yet. Make one: adit create NAME --template T, or --external")
					return err
				}
				var rows [][]string
				slices.SortStableFunc(list, func(a, b sdk.Workspace) int {
					switch {
					case a.Favourite == b.Favourite:
						return 0
					case a.Favourite:
						return -1
					}
					return 1
				})
				for _, ws := range list {
					rows = append(rows, listRows(ws)...)
				}
				return writeTable(w, []string{"WORKSPACE", "PHASE", "TEMPLATE", "AGENT", "STATE", "LAST SEEN"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everybody's, for owners of the deployment")
	cmd.Flags().BoolVar(&shared, "shared", false, "those that others share with you")
	return cmd
}

// listed returns the workspaces that list is asked for: one's own, everybody's,
// or those that others share.
func listed(ctx context.Context, c *sdk.Client, all, shared bool) ([]sdk.Workspace, error) {
	switch {
	case all && shared:
		return nil, usagef("--all and --shared are two lists; ask for one")
	case shared:
		return c.SharedWorkspaces(ctx)
	case all:
		return c.Workspaces(ctx, "all")
	}
	return c.Workspaces(ctx, "me")
}

// listRows are a workspace's rows of the list: one an agent, or one.
func listRows(w sdk.Workspace) [][]string {
	template := "external"
	if !w.External {
		template = w.Template
		if w.Outdated {
			template += " (outdated)"
		}
	}
	head := []string{w.Owner + "/" + w.Name, w.Phase, template}
	if len(w.Agents) == 0 {
		return [][]string{append(head, "-", "-", "-")}
	}
	var rows [][]string
	for _, agent := range w.Agents {
		rows = append(rows, append(slices.Clone(head), agent.Name, agent.State, ago(agent.LastConnectedAt)))
	}
	return rows
}

// showStats is how old the statistics are that show has: agents report each
// minute.
const showStats = 3 * time.Minute

func newShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show WS", Short: "Show a workspace", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			links, err := c.Connections(cmd.Context(), w.Owner, w.Name)
			if err != nil {
				return err
			}
			stats, err := c.WorkspaceStats(cmd.Context(), w.Owner, w.Name, sdk.StatsMinutes, time.Now().Add(-showStats))
			if err != nil {
				return err
			}
			shown := struct {
				sdk.Workspace
				Connections []sdk.Connection `json:"connections"`
				Stats       []sdk.Stats      `json:"stats"`
			}{w, links, stats}
			return a.print(shown, func(out io.Writer) error {
				fmt.Fprintf(out, "Workspace  %s/%s\nCreated    %s\nExternal   %t\nLast used  %s\n", w.Owner, w.Name, ago(&w.CreatedAt), w.External, ago(w.LastActiveAt))
				if err := printMade(out, w); err != nil {
					return err
				}
				for _, agent := range w.Agents {
					fmt.Fprintf(out, "\nAgent      %s\nState      %s\nAddress    %s\nVersion    %s\nFirst seen %s\nLast seen  %s\n",
						agent.Name, agent.State, agent.Address, agent.Version, ago(agent.FirstConnectedAt), ago(agent.LastConnectedAt))
					printMeasured(out, agent, stats)
					if err := printScripts(out, agent.ScriptRuns); err != nil {
						return err
					}
				}
				return printConnections(out, links)
			})
		},
	}
}

func newDeleteCmd(a *app) *cobra.Command {
	var yes, noWait bool
	cmd := &cobra.Command{
		Use: "delete WS", Short: "Delete a workspace with all that was made for it, and end its agents' access",
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			if err := a.confirm(yes, fmt.Sprintf("Delete %s/%s?", w.Owner, w.Name)); err != nil {
				return err
			}
			if !w.External {
				w, err = a.build(cmd.Context(), c, w, sdk.NewBuild{Transition: sdk.TransitionDelete}, noWait)
				return a.printMoved(w, err)
			}
			return c.DeleteWorkspace(cmd.Context(), w.Owner, w.Name)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the build")
	return cmd
}

// printMade writes what a template has made of a workspace, and how it is.
func printMade(out io.Writer, w sdk.Workspace) error {
	fmt.Fprintf(out, "Phase      %s\n", w.Phase)
	if w.Shared != "" {
		fmt.Fprintf(out, "Shared     with you (%s)\n", w.Shared)
	}
	for _, c := range w.Conditions {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%-10s %s=%s %s", "", c.Type, c.Status, oneLine(c.Message)), " "))
	}
	if w.Cost != 0 {
		fmt.Fprintf(out, "Cost       %d\n", w.Cost)
	}
	printSchedule(out, w)
	b := w.LatestBuild
	if b == nil {
		return nil
	}
	fmt.Fprintf(out, "Template   %s/%s, version %d\nBuild      %d (%s): %s %s\n", w.Organization, w.Template, w.TemplateVersion, b.Number, b.Transition, b.Job.Status, oneLine(b.Job.Error))
	for _, name := range slices.Sorted(maps.Keys(b.Parameters)) {
		fmt.Fprintf(out, "Parameter  %s=%s\n", name, oneLine(b.Parameters[name]))
	}
	if len(b.Resources) == 0 {
		return nil
	}
	var rows [][]string
	for _, r := range b.Resources {
		role, lasts := "peripheral", "persistent"
		if len(r.Agents) > 0 {
			role = "computational"
		}
		if r.Ephemeral {
			lasts = "ephemeral"
		}
		rows = append(rows, []string{r.Address, role, lasts, orDash(strings.Join(r.Agents, ", "))})
	}
	fmt.Fprintln(out)
	return writeTable(out, []string{"RESOURCE", "ROLE", "LASTS", "AGENTS"}, rows)
}

// printConnections lists who is linked to a workspace's agents, and how.
func printConnections(out io.Writer, links []sdk.Connection) error {
	if len(links) == 0 {
		return nil
	}
	var rows [][]string
	for _, l := range links {
		state := "here"
		if !l.ClientConnected {
			state = "lost"
		}
		rows = append(rows, []string{l.Client, state, l.Agent, describeView(l.ByClient), describeView(l.ByAgent)})
	}
	fmt.Fprintln(out)
	return writeTable(out, []string{"CLIENT", "STATE", "AGENT", "CLIENT'S PATH", "AGENT'S PATH"}, rows)
}

// describeView writes one end's view of a path for people.
func describeView(v *sdk.PathView) string {
	if v == nil {
		return "-"
	}
	text := v.Path
	if v.Region != "" {
		text += " " + v.Region
	}
	if v.RTTMs > 0 {
		text += fmt.Sprintf(" %.1f ms", v.RTTMs)
	}
	if v.Verdict != nil {
		text += " (" + v.Verdict.Code + ")"
	}
	return text
}
