package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newAppsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "apps WS", Short: "Show a workspace's apps, and how they are doing", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			list, err := c.WorkspaceApps(cmd.Context(), w.Owner, w.Name)
			if err != nil {
				return err
			}
			return a.print(list, func(out io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(out, "The template has no apps.")
					return err
				}
				var rows [][]string
				for _, s := range list {
					rows = append(rows, []string{oneLine(s.Slug), s.State, orDash(oneLine(s.URL)), s.Share, s.Agent, oneLine(s.Why)})
				}
				return writeTable(out, []string{"APP", "STATE", "URL", "SHARE", "AGENT", "WHY"}, rows)
			})
		},
	}
}
