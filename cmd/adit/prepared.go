package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aditmesh/adit/pkg/sdk"
)

// preparedFlags say how many workspaces of a template are kept ready.
type preparedFlags struct {
	count      int
	schedule   string
	parameters []string
}

func (p *preparedFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&p.count, "prepared", 0, "how many are kept ready for whoever makes one")
	flags.StringVar(&p.schedule, "prepared-schedule", "", `when they are: "DAYS HH:MM-HH:MM [ZONE]" (UTC without a zone), or always`)
	flags.StringArrayVar(&p.parameters, "prepared-parameter", nil, "NAME=VALUE that they are made with (default: the template's)")
}

// apply sets what was given and returns what there is; nil for those who may not see
// it.
func (p *preparedFlags) apply(cmd *cobra.Command, c *sdk.Client, template string) (*sdk.Prepared, error) {
	changed := cmd.Flags().Changed
	now, err := c.Prepared(cmd.Context(), template)
	if !changed("prepared") && !changed("prepared-schedule") && !changed("prepared-parameter") {
		var refused *sdk.Error
		if errors.As(err, &refused) && (refused.Status == http.StatusForbidden || refused.Status == http.StatusNotFound) {
			return nil, nil
		}
		return &now, err
	}
	if err != nil {
		return nil, err
	}
	set := sdk.SetPrepared{Count: now.Count, Schedule: now.Schedule, Parameters: now.Parameters}
	if changed("prepared") {
		set.Count = p.count
	}
	if changed("prepared-schedule") {
		set.Schedule = p.schedule
		if p.schedule == "always" {
			set.Schedule = ""
		}
	}
	if changed("prepared-parameter") {
		if set.Parameters, err = pairs("prepared-parameter", p.parameters); err != nil {
			return nil, err
		}
	}
	now, err = c.SetPrepared(cmd.Context(), template, set)
	return &now, err
}

// printPrepared writes how many workspaces are kept ready, and why there are fewer.
func printPrepared(out io.Writer, p *sdk.Prepared) {
	if p == nil {
		return
	}
	if p.Count == 0 {
		fmt.Fprintln(out, "Prepared       none")
		return
	}
	when := "always"
	if p.Schedule != "" {
		when = p.Schedule
	}
	fmt.Fprintf(out, "Prepared       %d (%s): %d ready, %d coming\n", p.Count, when, p.Ready, p.Coming)
	if p.Problem == "" {
		return
	}
	again := ""
	if p.RetryAt != nil {
		again = ", tried again in " + max(0, time.Until(*p.RetryAt)).Round(time.Second).String()
	}
	fmt.Fprintf(out, "Problem        %s (%d in a row%s)\n", oneLine(p.Problem), p.Failures, again)
}
