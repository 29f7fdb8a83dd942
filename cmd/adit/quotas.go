package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newQuotasCmd(a *app) *cobra.Command {
	var organization string
	cmd := &cobra.Command{
		Use: "quotas", Aliases: []string{"quota"}, Short: "What workspaces may cost together; 'quotas' alone shows your own",
		Long: `What workspaces may cost together. Templates say what each workspace costs:
'adit templates edit NAME --cost N'. A user's own quota is for all of their workspaces,
wherever those belong, and comes before those of their groups. A group's is for the
workspaces of each of its members in its organization; of several the largest counts.
With neither there is no limit.`,
		Example: `  adit quotas
  adit quotas set --user bob 20
  adit quotas set --group team 10
  adit quotas set --group lab --organization research 10
  adit quotas list`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.Usage(cmd.Context(), organization)
			if err != nil {
				return err
			}
			return a.print(u, func(out io.Writer) error {
				of := "no limit"
				if u.Budget != nil {
					of = strconv.Itoa(*u.Budget)
				}
				_, err := fmt.Fprintf(out, "Your workspaces cost %d of %s.\n", u.Used, of)
				return err
			})
		},
	}
	cmd.PersistentFlags().StringVar(&organization, "organization", "", "organization of the group, or whose workspaces count (default: the default one)")
	cmd.AddCommand(newQuotasListCmd(a), newQuotasSetCmd(a, &organization), newQuotasDeleteCmd(a, &organization))
	return cmd
}

func newQuotasListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List quotas", Args: args(cobra.NoArgs), Example: "  adit quotas list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Quotas(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(out io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(out, "No quotas. Set one: adit quotas set --group NAME N")
					return err
				}
				var rows [][]string
				for _, q := range list {
					rows = append(rows, []string{orDash(q.User), orDash(q.Organization), orDash(q.Group), strconv.Itoa(q.Budget)})
				}
				return writeTable(out, []string{"USER", "ORGANIZATION", "GROUP", "BUDGET"}, rows)
			})
		},
	}
}

func newQuotasSetCmd(a *app, organization *string) *cobra.Command {
	var with sharedWith
	cmd := &cobra.Command{
		Use: "set BUDGET", Short: "Set the quota of a user, or of each member of a group", Args: args(cobra.ExactArgs(1)),
		Example: "  adit quotas set --group team 10",
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := with.check(); err != nil {
				return err
			}
			n, err := strconv.Atoi(argv[0])
			if err != nil || n < 0 {
				return usagef("budget %q: want a number, 0 for no workspace that costs", argv[0])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.SetQuota(cmd.Context(), sdk.Quota{User: with.user, Group: with.group, Organization: *organization, Budget: n}); err != nil {
				return fmt.Errorf("quota of %s: %w", &with, err)
			}
			return nil
		},
	}
	with.add(cmd)
	return cmd
}

func newQuotasDeleteCmd(a *app, organization *string) *cobra.Command {
	var with sharedWith
	cmd := &cobra.Command{
		Use: "delete", Short: "End a quota", Args: args(cobra.NoArgs), Example: "  adit quotas delete --user bob",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := with.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.DeleteQuota(cmd.Context(), sdk.Quota{User: with.user, Group: with.group, Organization: *organization}); err != nil {
				return fmt.Errorf("quota of %s: %w", &with, err)
			}
			return nil
		},
	}
	with.add(cmd)
	return cmd
}

func newFavouriteCmd(a *app) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "favourite WS", Aliases: []string{"favorite"}, Short: "Put a workspace first in your list",
		Example: `  adit favourite dev
  adit favourite alice/dev --remove`,
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
			return c.SetFavourite(cmd.Context(), w.Owner, w.Name, !remove)
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "where it was again")
	return cmd
}
