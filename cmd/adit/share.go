package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

// sharedWith is whom share and unshare are about.
type sharedWith struct{ user, group string }

func (s *sharedWith) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.user, "user", "", "user name")
	cmd.Flags().StringVar(&s.group, "group", "", "name of a group")
}

// check is a usage error unless one of the two is named.
func (s *sharedWith) check() error {
	if (s.user == "") == (s.group == "") {
		return usagef("name whom: --user NAME or --group NAME")
	}
	return nil
}

func (s *sharedWith) String() string {
	if s.group != "" {
		return "group " + s.group
	}
	return s.user
}

func newShareCmd(a *app) *cobra.Command {
	var with sharedWith
	var level string
	cmd := &cobra.Command{
		Use: "share WS", Short: "Let somebody, or a group, into a workspace",
		Long: `Let somebody, or a group, into a workspace. Levels, each with what those before it have:

  apps      see it, and open its apps
  connect   reach it: SSH, ports, the VPN
  admin     start, stop, rename and schedule it

They name it OWNER/WS. Sharing once more changes the level.`,
		Example: `  adit share dev --user bob                    # bob: adit ssh alice/dev
  adit share dev --group team --level admin
  adit list --shared                           # what others share with you`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := with.check(); err != nil {
				return err
			}
			if levels := []string{sdk.ShareApps, sdk.ShareConnect, sdk.ShareAdmin}; !slices.Contains(levels, level) {
				return usagef("--level %q: want apps, connect or admin", level)
			}
			return a.onShare(cmd.Context(), argv[0], func(ctx context.Context, c *sdk.Client, w sdk.Workspace) error {
				share, name := c.ShareWithUser, with.user
				if with.group != "" {
					share, name = c.ShareWithGroup, with.group
				}
				if err := share(ctx, w.Owner, w.Name, name, level); err != nil {
					return fmt.Errorf("share workspace %s with %s: %w", w.Ref(), &with, err)
				}
				return nil
			})
		},
	}
	with.add(cmd)
	cmd.Flags().StringVar(&level, "level", sdk.ShareConnect, "how far: apps, connect or admin")
	return cmd
}

func newUnshareCmd(a *app) *cobra.Command {
	var with sharedWith
	cmd := &cobra.Command{
		Use: "unshare WS", Short: "Let somebody, or a group, into a workspace no longer; what they have open ends",
		Example: "  adit unshare dev --user bob", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if err := with.check(); err != nil {
				return err
			}
			return a.onShare(cmd.Context(), argv[0], func(ctx context.Context, c *sdk.Client, w sdk.Workspace) error {
				unshare, name := c.UnshareWithUser, with.user
				if with.group != "" {
					unshare, name = c.UnshareWithGroup, with.group
				}
				err := unshare(ctx, w.Owner, w.Name, name)
				switch {
				case errors.Is(err, sdk.ErrNotFound):
					return fmt.Errorf("workspace %s is not shared with %s; 'adit shares %s' lists whom it is shared with", w.Ref(), &with, w.Ref())
				case err != nil:
					return fmt.Errorf("unshare workspace %s with %s: %w", w.Ref(), &with, err)
				}
				return nil
			})
		},
	}
	with.add(cmd)
	return cmd
}

func newSharesCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "shares WS", Short: "List whom a workspace is shared with", Example: "  adit shares dev",
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.onShare(cmd.Context(), argv[0], func(context.Context, *sdk.Client, sdk.Workspace) error { return nil })
		},
	}
}

// onShare does something to the shares of a workspace, and writes what they are.
func (a *app) onShare(ctx context.Context, text string, do func(context.Context, *sdk.Client, sdk.Workspace) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	w, _, err := findWorkspace(ctx, c, text)
	if err != nil {
		return err
	}
	if err := do(ctx, c, w); err != nil {
		return err
	}
	list, err := c.Shares(ctx, w.Owner, w.Name)
	if err != nil {
		return fmt.Errorf("shares of workspace %s: %w", w.Ref(), err)
	}
	return a.print(list, func(out io.Writer) error {
		if len(list) == 0 {
			_, err := fmt.Fprintf(out, "Workspace %s is shared with nobody.\n", w.Ref())
			return err
		}
		var rows [][]string
		for _, s := range list {
			rows = append(rows, []string{orDash(s.User), orDash(s.Group), s.Level, s.By, ago(&s.Since)})
		}
		return writeTable(out, []string{"USER", "GROUP", "LEVEL", "BY", "SHARED"}, rows)
	})
}
