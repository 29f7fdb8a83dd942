package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newPortsCmd(a *app) *cobra.Command {
	var watch bool
	var set portVisibility
	cmd := &cobra.Command{
		Use: "ports WS", Short: "Show which ports of a workspace something listens on, or say who may open one", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: `  adit ports dev
  adit ports dev --port 3000 --visibility public     # or authenticated, owner, template
  adit ports dev --watch -o json     # a line each time`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := set.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			w, name, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			if set.port != 0 {
				agent, err := w.Agent(name)
				if err != nil {
					return err
				}
				return set.apply(cmd.Context(), c, w, agent)
			}
			if watch {
				return watchPorts(cmd.Context(), a, c, w)
			}
			list, err := c.WorkspacePorts(cmd.Context(), w.Owner, w.Name)
			if err != nil {
				return err
			}
			return a.print(list, func(out io.Writer) error { return printPorts(out, list) })
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show them again whenever they change")
	cmd.Flags().Uint16Var(&set.port, "port", 0, "port to say something of")
	cmd.Flags().StringVar(&set.visibility, "visibility", "", "who may open the port in a browser: owner, authenticated, public, or as the template says")
	return cmd
}

// portVisibility is who may open a port in a browser, as flags say it.
type portVisibility struct {
	port       uint16
	visibility string
}

// asTemplate leaves it to the template.
const asTemplate = "template"

func (p portVisibility) check() error {
	if (p.port == 0) != (p.visibility == "") {
		return usagef("--port and --visibility go together")
	}
	if all := []string{"", sdk.VisibleOwner, sdk.VisibleAuthenticated, sdk.VisiblePublic, asTemplate}; !slices.Contains(all, p.visibility) {
		return usagef("--visibility %q: want owner, authenticated, public or template", p.visibility)
	}
	return nil
}

func (p portVisibility) apply(ctx context.Context, c *sdk.Client, w sdk.Workspace, agent sdk.Agent) error {
	var err error
	if p.visibility == asTemplate {
		err = c.ResetPortVisibility(ctx, w.Owner, w.Name, agent.Name, int(p.port))
	} else {
		err = c.SetPortVisibility(ctx, w.Owner, w.Name, agent.Name, int(p.port), p.visibility)
	}
	if err != nil {
		return fmt.Errorf("port %d of workspace %s: %w", p.port, w.Ref(), err)
	}
	return nil
}

// watchPorts shows a workspace's ports whenever they are others, until ctx ends.
func watchPorts(ctx context.Context, a *app, c *sdk.Client, w sdk.Workspace) error {
	shown := ""
	show := func() error {
		list, err := c.WorkspacePorts(ctx, w.Owner, w.Name)
		if err != nil {
			return err
		}
		line, err := json.Marshal(list)
		if err != nil || string(line) == shown {
			return err
		}
		first := shown == ""
		shown = string(line)
		if a.output == "json" {
			_, err := fmt.Fprintf(a.out, "%s\n", line)
			return err
		}
		if !first {
			fmt.Fprintln(a.out)
		}
		return printPorts(a.out, list)
	}
	err := c.Watch(ctx, sdk.Watching{Topic: sdk.WatchAgents, WorkspaceID: w.ID}, show, func(ch sdk.Change) error {
		if ch.Kind != sdk.KindPorts && ch.Kind != sdk.KindAgent {
			return nil
		}
		return show()
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func printPorts(out io.Writer, list []sdk.Port) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "Nothing listens, as far as the agent sees.")
		return err
	}
	var rows [][]string
	for _, p := range list {
		address := p.Address
		if !p.Listening {
			address = "not listening"
		}
		rows = append(rows, []string{
			strconv.Itoa(p.Port), p.Protocol, oneLine(address), orDash(oneLine(p.Process)), orDash(oneLine(p.Label)), p.OnOpen, p.Visibility, p.Agent,
		})
	}
	return writeTable(out, []string{"PORT", "PROTOCOL", "ADDRESS", "PROCESS", "LABEL", "ON OPEN", "VISIBILITY", "AGENT"}, rows)
}
