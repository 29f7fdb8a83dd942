package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newTransferCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "transfer", Short: "Give a workspace to another user, who has to accept it",
		Long: `Give a workspace to another user, who has to accept it within a week.

A workspace that a template makes has to be stopped by then. With it goes what is
on its disk; whom it was shared with, and the old owner, have no access any more.
The agent of an external one needs the token that accepting prints.`,
		Example: `  adit transfer offer dev --to bob
  adit transfer list
  adit transfer accept alice/dev --as devbox
  adit transfer offer alice/dev --to me   # an owner of the deployment takes it, and accepts`,
	}
	cmd.AddCommand(newTransferOfferCmd(a), newTransferCancelCmd(a), newTransferListCmd(a), newTransferAcceptCmd(a), newTransferDeclineCmd(a))
	return cmd
}

func newTransferOfferCmd(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "offer WS", Short: "Offer a workspace to a user, and to nobody else any more", Example: "  adit transfer offer dev --to bob",
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, name, err := a.named(argv[0])
			if err != nil {
				return err
			}
			if to == "" {
				return usagef("name whom to offer it to: --to USER")
			}
			if err := c.OfferWorkspace(cmd.Context(), name.Owner, name.Name, to); err != nil {
				return fmt.Errorf("offer workspace %s: %w", name, err)
			}
			if a.output == "json" { // there is nothing to read
				return nil
			}
			_, err = fmt.Fprintf(a.out, "Workspace %s is offered to %s, for a week.\n", name, to)
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "user name")
	return cmd
}

// named reads a workspace's name. Whoever transfers it may not be allowed to see
// more of it.
func (a *app) named(text string) (*sdk.Client, sdk.WorkspaceName, error) {
	name, err := sdk.ParseWorkspaceName(strings.TrimSuffix(text, meshSuffix))
	if err != nil {
		return nil, name, usageError{err}
	}
	c, err := a.client()
	return c, name, err
}

func newTransferCancelCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "cancel WS", Short: "Take an offer back", Example: "  adit transfer cancel dev",
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, name, err := a.named(argv[0])
			if err != nil {
				return err
			}
			if err := c.CancelOffer(cmd.Context(), name.Owner, name.Name); err != nil {
				return fmt.Errorf("cancel the offer of workspace %s: %w", name, err)
			}
			return nil
		},
	}
}

func newTransferListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List offers to you and by you", Example: "  adit transfer list", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Offers(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(out io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(out, "No workspace is offered to you, and you offer none.")
					return err
				}
				var rows [][]string
				for _, o := range list {
					rows = append(rows, []string{o.Owner + "/" + o.Name, o.To, o.By, ago(&o.Since)})
				}
				return writeTable(out, []string{"WORKSPACE", "TO", "BY", "OFFERED"}, rows)
			})
		},
	}
}

// findOffer returns the offer of a workspace that text names.
func findOffer(ctx context.Context, c *sdk.Client, name sdk.WorkspaceName) (sdk.Offer, error) {
	list, err := c.Offers(ctx)
	if err != nil {
		return sdk.Offer{}, err
	}
	for _, o := range list {
		if strings.EqualFold(o.Owner, name.Owner) && strings.EqualFold(o.Name, name.Name) {
			return o, nil
		}
	}
	return sdk.Offer{}, fmt.Errorf("no workspace %s is offered to you; 'adit transfer list' shows what is", name)
}

func newTransferAcceptCmd(a *app) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use: "accept OWNER/WS", Short: "Make an offered workspace yours", Args: args(cobra.ExactArgs(1)),
		Example: `  adit transfer accept alice/dev
  adit transfer accept alice/dev --as devbox    # you have a dev already`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, name, err := a.named(argv[0])
			if err != nil {
				return err
			}
			o, err := findOffer(cmd.Context(), c, name)
			if err != nil {
				return err
			}
			w, err := c.AcceptOffer(cmd.Context(), o.ID, as)
			if err != nil {
				return fmt.Errorf("accept workspace %s: %w", name, err)
			}
			return a.print(w, func(out io.Writer) error {
				fmt.Fprintf(out, "Workspace %s is yours now.\n", w.Name)
				if w.AgentCommand != "" {
					fmt.Fprintf(out, "Run its agent with its new token, which is shown this once:\n\n  %s\n", w.AgentCommand)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "what to call it (default: its name)")
	return cmd
}

func newTransferDeclineCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "decline OWNER/WS", Short: "Decline an offered workspace", Example: "  adit transfer decline alice/dev", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, name, err := a.named(argv[0])
			if err != nil {
				return err
			}
			o, err := findOffer(cmd.Context(), c, name)
			if err != nil {
				return err
			}
			return c.DeclineOffer(cmd.Context(), o.ID)
		},
	}
}
