package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newHealthCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Say what is wrong with the deployment, and what would change it",
		Long: `Say what is wrong with the deployment: each finding has a code, what shows it, and
the one thing that would change it. Exits with 1 if one is an error.`,
		Example: `  adit health
  adit health -o json | jq -r '.findings[].code'`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			h, err := c.Health(cmd.Context())
			if e := new(sdk.Error); errors.As(err, &e) && e.Status == http.StatusServiceUnavailable {
				if lacks, why := c.Ready(cmd.Context()); why == nil && lacks != "" {
					return errors.New("the coordinator is " + lacks)
				}
			}
			if err != nil {
				return err
			}
			if err := a.print(h, func(w io.Writer) error { return printHealth(w, h) }); err != nil {
				return err
			}
			if h.Status == sdk.HealthError {
				return exitError(exitFailed)
			}
			return nil
		},
	}
}

func printHealth(w io.Writer, h sdk.Health) error {
	if len(h.Findings) == 0 {
		_, err := fmt.Fprintln(w, "All is well.")
		return err
	}
	var rows [][]string
	for _, f := range h.Findings {
		rows = append(rows, []string{f.Severity, f.Code, oneLine(f.Evidence), oneLine(f.Fix)})
	}
	return writeTable(w, []string{"SEVERITY", "CODE", "EVIDENCE", "FIX"}, rows)
}
