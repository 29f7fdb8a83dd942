package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newGroupsCmd(a *app) *cobra.Command {
	organization := "default"
	cmd := &cobra.Command{
		Use: "groups", Short: "Manage groups of users",
		Example: `  adit groups create backend
  adit groups add backend bob`,
	}
	cmd.PersistentFlags().StringVar(&organization, "organization", organization, "organization that the group belongs to")
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the groups of all organizations", Args: args(cobra.NoArgs), Example: "  adit groups list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Groups(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error { return writeGroups(w, list...) })
		},
	}
	show := &cobra.Command{
		Use: "show GROUP", Short: "List the members of a group", Args: args(cobra.ExactArgs(1)), Example: "  adit groups show backend",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			g, err := c.Group(cmd.Context(), organization, argv[0])
			if err != nil {
				return noGroup(err, argv[0])
			}
			people, err := c.GroupMembers(cmd.Context(), organization, argv[0])
			if err != nil {
				return noGroup(err, argv[0])
			}
			shown := struct {
				sdk.Group
				People []sdk.GroupMember `json:"people"`
			}{g, people}
			return a.print(shown, func(w io.Writer) error {
				var rows [][]string
				for _, m := range people {
					by := "people"
					if len(m.Managers) > 0 {
						by = cmp.Or(strings.Join(m.Managers, ", "), "a provider")
					}
					rows = append(rows, []string{m.Username, by})
				}
				return writeTable(w, []string{"USER", "ADDED BY"}, rows)
			})
		},
	}
	create := &cobra.Command{
		Use: "create GROUP", Short: "Make a group", Args: args(cobra.ExactArgs(1)),
		Example: "  adit groups create backend --organization research",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			g, err := c.CreateGroup(cmd.Context(), sdk.CreateGroup{Name: argv[0], Organization: organization})
			if err != nil {
				return noOrganization(err, organization)
			}
			return a.print(g, func(w io.Writer) error { return writeGroups(w, g) })
		},
	}
	remove := &cobra.Command{
		Use: "delete GROUP", Short: "Delete a group; its members stay", Args: args(cobra.ExactArgs(1)), Example: "  adit groups delete backend",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return noGroup(c.DeleteGroup(cmd.Context(), organization, argv[0]), argv[0])
		},
	}
	change := func(use, short string, does func(*cobra.Command, *sdk.Client, []string) error) *cobra.Command {
		return &cobra.Command{
			Use: use + " GROUP USER", Short: short, Args: args(cobra.ExactArgs(2)), Example: "  adit groups " + use + " backend bob",
			RunE: func(cmd *cobra.Command, argv []string) error {
				c, err := a.client()
				if err != nil {
					return err
				}
				return noGroup(does(cmd, c, argv), argv[0])
			},
		}
	}
	add := change("add", "Put a user into a group", func(cmd *cobra.Command, c *sdk.Client, argv []string) error {
		return c.AddToGroup(cmd.Context(), organization, argv[0], argv[1])
	})
	drop := change("remove", "Take a user out of a group", func(cmd *cobra.Command, c *sdk.Client, argv []string) error {
		return c.RemoveFromGroup(cmd.Context(), organization, argv[0], argv[1])
	})
	cmd.AddCommand(list, show, create, remove, add, drop)
	return cmd
}

func writeGroups(w io.Writer, list ...sdk.Group) error {
	var rows [][]string
	for _, g := range list {
		rows = append(rows, []string{g.Organization, g.Name, strconv.Itoa(g.Members), ago(&g.CreatedAt)})
	}
	return writeTable(w, []string{"ORGANIZATION", "GROUP", "MEMBERS", "CREATED"}, rows)
}

// noGroup says how to find the group that there is none of.
func noGroup(err error, name string) error {
	if errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("no group %s, or no such user in its organization; 'adit groups list' shows those that you may see", name)
	}
	return err
}
