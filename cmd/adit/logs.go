package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newLogsCmd(a *app) *cobra.Command {
	var follow bool
	var build int
	cmd := &cobra.Command{
		Use: "logs WS", Short: "Show what the latest build and the workspace's scripts have said", Args: args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeWorkspace,
		Example: `  adit logs dev
  adit logs -f dev
  adit logs dev --build 3 -o json | jq -r 'select(.level == "error").text'`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, name, err := findWorkspace(cmd.Context(), c, argv[0])
			if err != nil {
				return err
			}
			l := &logWriter{w: a.out, json: a.output == "json"}
			err = showLogs(cmd.Context(), c, w, name, build, follow, l)
			if cmd.Context().Err() != nil {
				return nil // seen enough
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is to come")
	cmd.Flags().IntVar(&build, "build", 0, "one build's alone, by number (default: the latest's, and the scripts')")
	return cmd
}

// showLogs shows a build's log and, unless the build was chosen, then those of
// the agents' scripts.
func showLogs(ctx context.Context, c *sdk.Client, w sdk.Workspace, name sdk.WorkspaceName, build int, follow bool, l *logWriter) error {
	number := build
	if number == 0 && w.LatestBuild != nil {
		number = w.LatestBuild.Number
	}
	if number != 0 {
		err := showBuild(ctx, c, w, number, follow, l)
		if errors.Is(err, sdk.ErrNotFound) {
			return fmt.Errorf("workspace %s has no build %d; 'adit builds %s' lists them", w.Ref(), number, w.Ref())
		}
		if err != nil || build != 0 {
			return err
		}
		// The build may have changed the agents.
		if w, err = c.Workspace(ctx, w.Owner, w.Name); err != nil {
			return err
		}
	}
	agents := w.Agents
	if name.Agent != "" {
		agent, err := w.Agent(name)
		if err != nil {
			return err
		}
		agents = []sdk.Agent{agent}
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(agents))
	for _, agent := range agents {
		wg.Go(func() { errs <- showAgent(ctx, c, w, agent.Name, follow, l) })
		if !follow {
			wg.Wait() // one after the other
		}
	}
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

func showBuild(ctx context.Context, c *sdk.Client, w sdk.Workspace, number int, follow bool, l *logWriter) error {
	open := func(after int64) (*sdk.Log, error) { return c.BuildLog(ctx, w.Owner, w.Name, number, after, follow) }
	if follow {
		_, err := sdk.Follow(ctx, open, l.line)
		return err
	}
	return readLog(open, l)
}

func showAgent(ctx context.Context, c *sdk.Client, w sdk.Workspace, agent string, follow bool, l *logWriter) error {
	open := func(after int64) (*sdk.Log, error) { return c.AgentLog(ctx, w.Owner, w.Name, agent, after, follow) }
	if follow {
		_, err := sdk.Follow(ctx, open, l.line)
		return err
	}
	return readLog(open, l)
}

// readLog writes what there is of a log.
func readLog(open func(after int64) (*sdk.Log, error), l *logWriter) error {
	log, err := open(0)
	if err != nil {
		return err
	}
	defer log.Close()
	for {
		e, err := log.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Line != nil {
			if err := l.line(*e.Line); err != nil {
				return err
			}
		}
	}
}

// logWriter writes lines of several logs.
type logWriter struct {
	mu   sync.Mutex
	w    io.Writer // guarded by mu
	json bool
}

func (l *logWriter) line(line sdk.LogLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.json {
		return json.NewEncoder(l.w).Encode(line)
	}
	return writeLogLine(l.w, line)
}
