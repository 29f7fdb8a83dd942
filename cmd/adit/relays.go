package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newRelaysCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "relays", Short: "Manage relays, which carry packets where there is no direct path",
		Example: `  adit relays create fra --region eu
  adit relays list`,
	}
	cmd.AddCommand(newRelaysCreateCmd(a), newRelaysListCmd(a), newRelaysDeleteCmd(a))
	return cmd
}

func newRelaysCreateCmd(a *app) *cobra.Command {
	var req sdk.CreateRelay
	var latitude, longitude float64
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a relay and print its token", Args: args(cobra.ExactArgs(1)),
		Example: `  adit relays create fra --region eu
  adit relays create nrt-2 --region asia --region-name "Asia, Tokyo" --latitude 35.68 --longitude 139.69`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if req.Region == "" {
				return usagef("name the region with --region: a short code such as eu, which is made if it is new")
			}
			if cmd.Flags().Changed("latitude") != cmd.Flags().Changed("longitude") {
				return usagef("--latitude and --longitude go together")
			}
			if cmd.Flags().Changed("latitude") {
				req.Latitude, req.Longitude = &latitude, &longitude
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			req.Name = argv[0]
			r, err := c.CreateRelay(cmd.Context(), req)
			if errors.Is(err, sdk.ErrConflict) {
				return fmt.Errorf("there is a relay %s already; choose another name, or delete it with 'adit relays delete %s'", argv[0], argv[0])
			}
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s\n", r.Token)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&req.Region, "region", "", "code of its region, which is made if it is new")
	cmd.Flags().StringVar(&req.RegionName, "region-name", "", "what people call a new region (default: its code)")
	cmd.Flags().Float64Var(&latitude, "latitude", 0, "of the region, in degrees")
	cmd.Flags().Float64Var(&longitude, "longitude", 0, "of the region, in degrees")
	return cmd
}

func newRelaysListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List relays", Args: args(cobra.NoArgs), Example: "  adit relays list",
		Long: "List relays. RTT is the median of the round trips that nodes measured to the relay's region.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Relays(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, r := range list {
					seen, clients, carried, rtt := ago(r.LastSeenAt), "-", "-", "-"
					if r.Connected {
						seen = "connected"
					}
					if r.Load != nil {
						clients, carried = fmt.Sprint(r.Load.Clients), size(int64(r.Load.Bytes))
					}
					if r.Seen != nil && r.Seen.Nodes > 0 {
						rtt = fmt.Sprintf("%.1f ms", r.Seen.RTTMs)
					}
					rows = append(rows, []string{r.Name, r.Region.Code, orDash(r.URL), clients, carried, rtt, orDash(r.Version), seen})
				}
				return writeTable(w, []string{"RELAY", "REGION", "ADDRESS", "CLIENTS", "CARRIED", "RTT", "VERSION", "LAST SEEN"}, rows)
			})
		},
	}
}

func newRelaysDeleteCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a relay, which ends it at once", Args: args(cobra.ExactArgs(1)),
		Example: "  adit relays delete fra",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "Delete relay "+argv[0]+", and end it?"); err != nil {
				return err
			}
			err = c.DeleteRelay(cmd.Context(), argv[0])
			if errors.Is(err, sdk.ErrNotFound) {
				return fmt.Errorf("no relay %s; 'adit relays list' shows them", argv[0])
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
