package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newScriptsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "scripts WS", Short: "Show how a workspace's scripts are doing", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: `  adit scripts dev
  adit scripts dev -o json | jq '.[] | select(.state == "failed")'`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, name, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			agent, err := w.Agent(name)
			if err != nil {
				return err
			}
			runs := agent.ScriptRuns
			if runs == nil {
				runs = []sdk.ScriptStatus{}
			}
			return a.print(runs, func(out io.Writer) error {
				if len(runs) == 0 {
					_, err := fmt.Fprintf(out, "Workspace %s has no scripts, or its agent has not told of them yet.\n", name)
					return err
				}
				return printScripts(out, runs)
			})
		},
	}
}

// printScripts writes how scripts are doing, if there are any.
func printScripts(out io.Writer, runs []sdk.ScriptStatus) error {
	if len(runs) == 0 {
		return nil
	}
	var rows [][]string
	for _, s := range runs {
		code, took := "-", "-"
		if s.ExitCode != nil {
			code = fmt.Sprint(*s.ExitCode)
		}
		if s.StartedAt != nil && s.FinishedAt != nil {
			took = s.FinishedAt.Sub(*s.StartedAt).Round(time.Millisecond).String()
		}
		when := s.RunOn
		if s.Service {
			when += ", service"
		}
		rows = append(rows, []string{oneLine(s.Name), oneLine(when), s.State, code, took, ago(s.StartedAt), scriptNote(s)})
	}
	fmt.Fprintln(out)
	return writeTable(out, []string{"SCRIPT", "ON", "STATE", "EXIT", "TOOK", "BEGAN", "NOTE"}, rows)
}

// scriptNote is what else there is to know of a script.
func scriptNote(s sdk.ScriptStatus) string {
	var notes []string
	if s.NextAt != nil {
		notes = append(notes, "next "+s.NextAt.Local().Format("2006-01-02 15:04:05"))
	}
	if s.Runs > 1 {
		notes = append(notes, fmt.Sprintf("%d runs", s.Runs))
	}
	if s.State != sdk.ScriptsSucceeded && s.Message != "" {
		notes = append(notes, oneLine(s.Message))
	}
	return orDash(strings.Join(notes, "; "))
}
