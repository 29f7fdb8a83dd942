package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

// buildFlags are what the commands that build a workspace have in common.
type buildFlags struct {
	noWait     bool
	parameters []string
}

// add gives a command the flags: parameters only where they can change.
func (f *buildFlags) add(cmd *cobra.Command, parameters bool) {
	cmd.Flags().BoolVar(&f.noWait, "no-wait", false, "do not wait for the build")
	if parameters {
		cmd.Flags().StringArrayVarP(&f.parameters, "parameter", "p", nil, "NAME=VALUE of a parameter to change")
	}
}

func newStartCmd(a *app) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use: "start WS", Short: "Start a workspace", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: `  adit start dev
  adit start dev --parameter cpu=4      # what is changed stays so`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.move(cmd.Context(), argv[0], f, sdk.NewBuild{Transition: sdk.TransitionStart})
		},
	}
	f.add(cmd, true)
	return cmd
}

func newStopCmd(a *app) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use: "stop WS", Short: "Stop a workspace; what is persistent stays", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: "  adit stop dev",
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.move(cmd.Context(), argv[0], f, sdk.NewBuild{Transition: sdk.TransitionStop})
		},
	}
	f.add(cmd, false)
	return cmd
}

func newRestartCmd(a *app) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use: "restart WS", Short: "Stop a workspace and start it again", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: "  adit restart dev",
		RunE: func(cmd *cobra.Command, argv []string) error {
			if f.noWait {
				return usagef("restart waits for the stop, without which there is no start; use 'adit stop' and 'adit start --no-wait'")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			given, err := pairs("parameter", f.parameters)
			if err != nil {
				return err
			}
			if w.Phase != "stopped" {
				if _, err := a.build(cmd.Context(), c, w, sdk.NewBuild{Transition: sdk.TransitionStop}, false); err != nil {
					return err
				}
			}
			w, err = a.build(cmd.Context(), c, w, sdk.NewBuild{Transition: sdk.TransitionStart, Parameters: given}, false)
			return a.printMoved(w, err)
		},
	}
	f.add(cmd, true)
	return cmd
}

func newUpdateCmd(a *app) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use: "update WS", Short: "Start a workspace with its template's active version", Args: args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeWorkspace,
		Example: `  adit update dev
  adit update dev --parameter zone=eu   # what the new version asks for`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.move(cmd.Context(), argv[0], f, sdk.NewBuild{Transition: sdk.TransitionStart, Version: sdk.ActiveVersion})
		},
	}
	f.add(cmd, true)
	return cmd
}

// move makes a build of a workspace and says how it ended.
func (a *app) move(ctx context.Context, text string, f buildFlags, req sdk.NewBuild) error {
	given, err := pairs("parameter", f.parameters)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	w, _, err := findWorkspace(ctx, c, text)
	if err != nil {
		return err
	}
	if !w.External && (req.Version == sdk.ActiveVersion || len(given) > 0) {
		if err := a.fillBuild(ctx, c, w, req, given); err != nil {
			return err
		}
	}
	req.Parameters = given
	w, err = a.build(ctx, c, w, req, f.noWait)
	return a.printMoved(w, err)
}

// fillBuild asks for parameters that the version to build asks for and the
// workspace has no value of.
func (a *app) fillBuild(ctx context.Context, c *sdk.Client, w sdk.Workspace, req sdk.NewBuild, given map[string]string) error {
	version := w.TemplateVersion
	if req.Version == sdk.ActiveVersion {
		version = 0
	}
	v, err := findVersion(ctx, c, w.Organization+"/"+w.Template, version)
	if err != nil {
		return err
	}
	var kept map[string]string
	if w.LatestBuild != nil {
		kept = w.LatestBuild.Parameters
	}
	return a.fill(v, given, kept)
}

func (a *app) printMoved(w sdk.Workspace, err error) error {
	if err != nil {
		return err
	}
	return a.print(w, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "Workspace %s is %s.\n", w.Ref(), w.Phase)
		return err
	})
}

// build makes a build and, unless told not to, waits for it.
func (a *app) build(ctx context.Context, c *sdk.Client, w sdk.Workspace, req sdk.NewBuild, noWait bool) (sdk.Workspace, error) {
	b, err := c.CreateBuild(ctx, w.Owner, w.Name, req)
	if err != nil {
		return w, fmt.Errorf("%s workspace %s: %w", req.Transition, w.Ref(), err)
	}
	if noWait {
		if req.Transition == sdk.TransitionDelete {
			w.Phase = "deleting"
			return w, nil
		}
		return c.Workspace(ctx, w.Owner, w.Name)
	}
	return a.finishBuild(ctx, c, w, b)
}

// gerunds say what a build is doing.
var gerunds = map[string]string{
	sdk.TransitionStart: "Starting", sdk.TransitionStop: "Stopping", sdk.TransitionDelete: "Deleting",
}

// finishBuild waits for a build and returns the workspace after it.
func (a *app) finishBuild(ctx context.Context, c *sdk.Client, w sdk.Workspace, b sdk.Build) (sdk.Workspace, error) {
	what := fmt.Sprintf("build %d (%s) of workspace %s", b.Number, b.Transition, w.Ref())
	job, err := a.watch(ctx, gerunds[b.Transition]+" "+w.Ref(), func(after int64) (*sdk.Log, error) {
		return c.BuildLog(ctx, w.Owner, w.Name, b.Number, after, true)
	})
	deleting := b.Transition == sdk.TransitionDelete
	if deleting && errors.Is(err, sdk.ErrNotFound) { // its log went with it
		w.Phase = "deleted"
		return w, nil
	}
	if err != nil {
		return w, a.watchEnded(ctx, err, what, "adit logs -f "+w.Ref())
	}
	again := "adit " + b.Transition + " " + w.Ref()
	if err := a.judge(job, what, fmt.Sprintf("'adit logs %s' has all of it, '%s' tries again", w.Ref(), again)); err != nil {
		return w, err
	}
	if deleting {
		w.Phase = "deleted"
		return w, nil
	}
	return c.Workspace(ctx, w.Owner, w.Name)
}

func newRenameCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rename WS NAME", Short: "Give a workspace another name", Args: args(cobra.ExactArgs(2)), ValidArgsFunction: a.completeWorkspace,
		Example: "  adit rename dev devbox",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			renamed, err := c.RenameWorkspace(cmd.Context(), w.Owner, w.Name, argv[1])
			if err != nil {
				return fmt.Errorf("rename workspace %s to %s: %w", w.Ref(), argv[1], err)
			}
			return a.print(renamed, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "Workspace %s is called %s now.\n", w.Ref(), renamed.Ref())
				return err
			})
		},
	}
}

func newBuildsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "builds WS", Short: "List a workspace's builds", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: "  adit builds dev",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			list, err := c.Builds(cmd.Context(), w.Owner, w.Name)
			if err != nil {
				return err
			}
			return a.print(list, func(out io.Writer) error {
				var rows [][]string
				for _, b := range list {
					rows = append(rows, []string{strconv.Itoa(b.Number), b.Transition, b.Job.Status, strconv.Itoa(b.TemplateVersion), b.Initiator,
						ago(&b.Job.CreatedAt), took(b.Job), orDash(b.Job.Error)})
				}
				return writeTable(out, []string{"BUILD", "TRANSITION", "STATUS", "VERSION", "BY", "ASKED FOR", "TOOK", "ERROR"}, rows)
			})
		},
	}
}

// took writes how long a job ran, or has been running.
func took(j sdk.Job) string {
	if j.StartedAt == nil {
		return "-"
	}
	end := time.Now()
	if j.FinishedAt != nil {
		end = *j.FinishedAt
	}
	return end.Sub(*j.StartedAt).Round(100 * time.Millisecond).String()
}

func newCancelCmd(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "cancel WS", Short: "End the build under way", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: `  adit cancel dev
  adit cancel dev --force    # when Terraform does not listen; its state is saved all the same`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, _, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			if w.LatestBuild == nil || w.LatestBuild.Job.Done() {
				return fmt.Errorf("no build of workspace %s is under way", w.Ref())
			}
			if err := c.CancelBuild(cmd.Context(), w.Owner, w.Name, w.LatestBuild.Number, force); err != nil {
				return err
			}
			return a.print(w, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "Build %d of workspace %s is told to end; 'adit logs -f %s' shows when it has.\n",
					w.LatestBuild.Number, w.Ref(), w.Ref())
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "kill Terraform instead of interrupting it")
	return cmd
}
