package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newWebhooksCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhooks", Short: "Have events posted to other programs",
		Example: `  adit webhooks create chat https://hooks.example.com/adit --kind workspace --kind build
  adit webhooks deliveries chat --status dead`,
	}
	cmd.AddCommand(newWebhooksCreateCmd(a), newWebhooksListCmd(a), newWebhooksDeleteCmd(a), newDeliveriesCmd(a), newRedeliverCmd(a))
	return cmd
}

func newWebhooksCreateCmd(a *app) *cobra.Command {
	var kinds []string
	cmd := &cobra.Command{
		Use: "create NAME URL", Short: "Make a webhook and print the secret that signs what it gets", Args: args(cobra.ExactArgs(2)),
		Example: "  adit webhooks create chat https://hooks.example.com/adit --kind workspace",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, err := c.CreateWebhook(cmd.Context(), sdk.CreateWebhook{Name: argv[0], URL: argv[1], Kinds: kinds})
			if err != nil {
				return fmt.Errorf("make webhook %s: %w", argv[0], err)
			}
			return a.print(w, func(out io.Writer) error {
				_, err := fmt.Fprintln(out, w.Secret)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&kinds, "kind", nil, "kind of events that it gets, such as workspace, build or agent (default: all)")
	return cmd
}

func newWebhooksListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List webhooks", Args: args(cobra.NoArgs), Example: "  adit webhooks list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Webhooks(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, h := range list {
					rows = append(rows, []string{h.Name, h.URL, strings.Join(h.Kinds, ","), strconv.Itoa(h.Pending), strconv.Itoa(h.Dead), ago(&h.CreatedAt)})
				}
				return writeTable(w, []string{"WEBHOOK", "URL", "KINDS", "PENDING", "DEAD", "CREATED"}, rows)
			})
		},
	}
}

// noWebhook says that there is none of a name.
func noWebhook(err error, name string) error {
	if errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("no webhook %s; 'adit webhooks list' shows them", name)
	}
	return err
}

func newWebhooksDeleteCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete a webhook, with what it has yet to get", Args: args(cobra.ExactArgs(1)),
		Example: "  adit webhooks delete chat",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return noWebhook(c.DeleteWebhook(cmd.Context(), argv[0]), argv[0])
		},
	}
}

// deliveriesPage is how many deliveries are asked for at once: each brings what is
// posted.
const deliveriesPage = 100

func newDeliveriesCmd(a *app) *cobra.Command {
	var status string
	var limit int
	cmd := &cobra.Command{
		Use: "deliveries NAME", Short: "Show what a webhook got and is to get, the newest first", Args: args(cobra.ExactArgs(1)),
		Example: "  adit webhooks deliveries chat --status dead",
		RunE: func(cmd *cobra.Command, argv []string) error {
			if limit < 1 {
				return usagef("--limit %d: want 1 or more", limit)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			list := []sdk.Delivery{}
			for d, err := range c.EachDelivery(cmd.Context(), argv[0], status, sdk.ListOptions{PageSize: min(limit, deliveriesPage)}) {
				if err != nil {
					return noWebhook(err, argv[0])
				}
				if list = append(list, d); len(list) == limit {
					break
				}
			}
			return a.print(list, func(w io.Writer) error { return writeDeliveries(w, list...) })
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "pending, delivered or dead")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many")
	return cmd
}

func writeDeliveries(w io.Writer, list ...sdk.Delivery) error {
	var rows [][]string
	for _, d := range list {
		answer := d.Error
		if answer == "" && d.Answer != 0 {
			answer = strconv.Itoa(d.Answer)
		}
		rows = append(rows, []string{strconv.FormatInt(d.ID, 10), d.Event, d.Status, strconv.Itoa(d.Attempts), ago(&d.CreatedAt), orDash(oneLine(answer))})
	}
	return writeTable(w, []string{"DELIVERY", "EVENT", "STATUS", "ATTEMPTS", "CREATED", "ANSWER"}, rows)
}

func newRedeliverCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "redeliver NAME DELIVERY", Short: "Deliver something once more", Args: args(cobra.ExactArgs(2)),
		Example: "  adit webhooks redeliver chat 17",
		RunE: func(cmd *cobra.Command, argv []string) error {
			id, err := strconv.ParseInt(argv[1], 10, 64)
			if err != nil {
				return usagef("delivery %q is no number; 'adit webhooks deliveries %s' shows them", argv[1], argv[0])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			d, err := c.Redeliver(cmd.Context(), argv[0], id)
			if errors.Is(err, sdk.ErrNotFound) {
				return fmt.Errorf("webhook %s has no delivery %d that is over; 'adit webhooks deliveries %s' shows them", argv[0], id, argv[0])
			}
			if err != nil {
				return err
			}
			return a.print(d, func(w io.Writer) error { return writeDeliveries(w, d) })
		},
	}
}
