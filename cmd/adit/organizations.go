package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newOrganizationsCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "organizations", Aliases: []string{"orgs"}, Short: "Manage organizations and their members",
		Example: `  adit organizations create research
  adit organizations members set research bob --role template-admin`,
	}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List organizations", Args: args(cobra.NoArgs), Example: "  adit organizations list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Organizations(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error { return writeOrganizations(w, list...) })
		},
	}
	create := &cobra.Command{
		Use: "create NAME", Short: "Make an organization", Args: args(cobra.ExactArgs(1)), Example: "  adit organizations create research",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			o, err := c.CreateOrganization(cmd.Context(), argv[0])
			if err != nil {
				return err
			}
			return a.print(o, func(w io.Writer) error { return writeOrganizations(w, o) })
		},
	}
	rename := &cobra.Command{
		Use: "rename NAME NEW", Short: "Rename an organization", Args: args(cobra.ExactArgs(2)), Example: "  adit organizations rename research science",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			o, err := c.RenameOrganization(cmd.Context(), argv[0], argv[1])
			if err != nil {
				return noOrganization(err, argv[0])
			}
			return a.print(o, func(w io.Writer) error { return writeOrganizations(w, o) })
		},
	}
	remove := &cobra.Command{
		Use: "delete NAME", Short: "Delete an organization that has nothing left in it", Args: args(cobra.ExactArgs(1)),
		Example: "  adit organizations delete research",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return noOrganization(c.DeleteOrganization(cmd.Context(), argv[0]), argv[0])
		},
	}
	cmd.AddCommand(list, create, rename, remove, newMembersCmd(a))
	return cmd
}

func writeOrganizations(w io.Writer, list ...sdk.Organization) error {
	var rows [][]string
	for _, o := range list {
		who := "chosen"
		if o.Default {
			who = "everybody"
		}
		rows = append(rows, []string{o.Name, who, ago(&o.CreatedAt)})
	}
	return writeTable(w, []string{"ORGANIZATION", "MEMBERS", "CREATED"}, rows)
}

// noOrganization says how to find the organization that there is none of.
func noOrganization(err error, name string) error {
	if errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("no organization %s, or no such user in it; 'adit organizations list' shows those that you may see", name)
	}
	return err
}

func newMembersCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "members", Short: "Manage the members of an organization",
		Example: `  adit organizations members list research
  adit organizations members set research bob`,
	}
	list := &cobra.Command{
		Use: "list ORGANIZATION", Aliases: []string{"ls"}, Short: "List members", Args: args(cobra.ExactArgs(1)),
		Example: "  adit organizations members list default",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Members(cmd.Context(), argv[0])
			if err != nil {
				return noOrganization(err, argv[0])
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, m := range list {
					rows = append(rows, []string{m.Username, m.Role, ago(&m.Since)})
				}
				return writeTable(w, []string{"USER", "ROLE", "SINCE"}, rows)
			})
		},
	}
	var role string
	set := &cobra.Command{
		Use: "set ORGANIZATION USER", Short: "Make a user a member, or give them another role", Args: args(cobra.ExactArgs(2)),
		Example: "  adit organizations members set research bob --role template-admin",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return noOrganization(c.SetMember(cmd.Context(), argv[0], argv[1], role), argv[0])
		},
	}
	set.Flags().StringVar(&role, "role", "member", roles)
	remove := &cobra.Command{
		Use: "remove ORGANIZATION USER", Short: "Take a user out of an organization and its groups", Args: args(cobra.ExactArgs(2)),
		Example: "  adit organizations members remove research bob",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return noOrganization(c.RemoveMember(cmd.Context(), argv[0], argv[1]), argv[0])
		},
	}
	cmd.AddCommand(list, set, remove)
	return cmd
}
