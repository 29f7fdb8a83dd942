package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newCreateCmd(a *app) *cobra.Command {
	var external bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a workspace",
		Example: `  adit create dev --external            # prints what to run on the workspace's host
  adit create dev --external -o json | jq -r .agent_token`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			if !external {
				return usagef("templates come later; make an external workspace with --external")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			w, err := c.CreateWorkspace(cmd.Context(), sdk.CreateWorkspace{Name: argv[0], External: true})
			if errors.Is(err, sdk.ErrConflict) {
				return fmt.Errorf("you have a workspace %s already; choose another name, or delete it with 'adit delete %s'", argv[0], argv[0])
			}
			if err != nil {
				return fmt.Errorf("make workspace %s: %w", argv[0], err)
			}
			return a.print(w, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "Workspace %s made. Run its agent on any host; the token is shown this once:\n\n  %s\n\nThen: adit ssh %s\n",
					w.Name, w.AgentCommand, w.Name)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&external, "external", false, "somebody runs the agent by hand")
	return cmd
}

func newListCmd(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List workspaces", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			owner := "me"
			if all {
				owner = "all"
			}
			list, err := c.Workspaces(cmd.Context(), owner)
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(w, "No workspaces yet. Make one: adit create NAME --external")
					return err
				}
				var rows [][]string
				for _, ws := range list {
					for _, agent := range ws.Agents {
						rows = append(rows, []string{ws.Owner + "/" + ws.Name, agent.Name, agent.State, ago(agent.LastConnectedAt)})
					}
				}
				return writeTable(w, []string{"WORKSPACE", "AGENT", "STATE", "LAST SEEN"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everybody's, for owners of the deployment")
	return cmd
}

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
			shown := struct {
				sdk.Workspace
				Connections []sdk.Connection `json:"connections"`
			}{w, links}
			return a.print(shown, func(out io.Writer) error {
				fmt.Fprintf(out, "Workspace  %s/%s\nCreated    %s\nExternal   %t\n", w.Owner, w.Name, ago(&w.CreatedAt), w.External)
				for _, agent := range w.Agents {
					fmt.Fprintf(out, "\nAgent      %s\nState      %s\nAddress    %s\nVersion    %s\nFirst seen %s\nLast seen  %s\n",
						agent.Name, agent.State, agent.Address, agent.Version, ago(agent.FirstConnectedAt), ago(agent.LastConnectedAt))
				}
				return printConnections(out, links)
			})
		},
	}
}

func newDeleteCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete WS", Short: "Delete a workspace and end its agent's access",
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
			if !yes && isTerminal(a.in) {
				p := prompter{in: bufio.NewReader(a.in), out: a.err, terminal: true}
				answer, err := p.line(fmt.Sprintf("Delete %s/%s? [y/N] ", w.Owner, w.Name))
				if err != nil {
					return err
				}
				if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
					return errors.New("not deleted")
				}
			}
			return c.DeleteWorkspace(cmd.Context(), w.Owner, w.Name)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
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
	switch {
	case v == nil:
		return "-"
	case v.Verdict != nil:
		return v.Path + " (" + v.Verdict.Code + ")"
	default:
		return v.Path
	}
}
