package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// awaitBuild waits for the build that starts a workspace, and returns the
// workspace with the agents that it has then. It is an error if the workspace
// is not to run.
func (a *app) awaitBuild(ctx context.Context, c *sdk.Client, w sdk.Workspace, wait time.Duration) (sdk.Workspace, error) {
	if w.External || w.LatestBuild == nil {
		return w, nil
	}
	if starting := w.Phase == "pending" || w.Phase == "starting"; starting && wait > waitNotAtAll {
		if err := a.followBuild(ctx, c, w, *w.LatestBuild, wait); err != nil {
			return w, err
		}
		var err error
		if w, err = c.Workspace(ctx, w.Owner, w.Name); err != nil {
			return w, err
		}
	}
	connected := slices.ContainsFunc(w.Agents, func(g sdk.Agent) bool { return g.State == "connected" })
	switch b := w.LatestBuild; {
	case w.Phase == "stopped": // whatever was last heard of its agents
		return w, fmt.Errorf("workspace %s is stopped; 'adit start %s' starts it", w.Ref(), w.Ref())
	case connected || w.Phase == "running":
		return w, nil
	case w.Phase == "failed":
		return w, fmt.Errorf("build %d (%s) of workspace %s %s: %s; 'adit logs %s' has all of it, 'adit start %s' tries again",
			b.Number, b.Transition, w.Ref(), b.Job.Status, b.Job.Error, w.Ref(), w.Ref())
	case len(w.Agents) == 0 || w.Phase == "stopping" || w.Phase == "deleting":
		return w, fmt.Errorf("workspace %s is %s; 'adit logs -f %s' shows how build %d is doing", w.Ref(), w.Phase, w.Ref(), b.Number)
	}
	return w, nil
}

// followBuild waits for a build and says which stage it is in.
func (a *app) followBuild(ctx context.Context, c *sdk.Client, w sdk.Workspace, b sdk.Build, wait time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	stage := "queued"
	stop := a.progress(fmt.Sprintf("Waiting for build %d of %s (queued)…", b.Number, w.Ref()))
	defer func() { stop() }()
	_, err := sdk.Follow(limited, func(after int64) (*sdk.Log, error) {
		return c.BuildLog(limited, w.Owner, w.Name, b.Number, after, true)
	}, func(l sdk.LogLine) error {
		switch {
		case l.Stage == sdk.StageQueued:
			stop()
			stop = a.progress(fmt.Sprintf("Waiting for build %d of %s (queued: %s)…", b.Number, w.Ref(), oneLine(l.Text)))
		case l.Stage != stage:
			stop()
			stage = l.Stage
			stop = a.progress(fmt.Sprintf("Waiting for build %d of %s (%s)…", b.Number, w.Ref(), stage))
		}
		return nil
	})
	if limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("build %d of workspace %s is not done within %v (%s); wait longer with --wait=yes, or see 'adit logs -f %s'",
			b.Number, w.Ref(), wait, stage, w.Ref())
	}
	return err
}

// awaitScripts waits until an agent's startup scripts are done, if the template
// wants log-ins to wait or somebody asks for it with always. Scripts that failed
// are said and keep nobody out: one must get in to mend them.
func (a *app) awaitScripts(ctx context.Context, t *target, always bool, wait time.Duration) error {
	c, err := a.meshClient(ctx)
	if err != nil || isOfWorkspace(c) { // who comes by a link does not see its scripts
		return err
	}
	pending := func(g sdk.Agent) bool {
		return g.LoginWaits && (g.Scripts == sdk.ScriptsRunning || g.Scripts == sdk.ScriptsNone) || always && g.Scripts == sdk.ScriptsRunning
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	agent := t.agent
	if !agent.LoginWaits && !always {
		return nil
	}
	stop := a.progress(fmt.Sprintf("Waiting for the startup scripts of %s…", t.name))
	defer stop()
	look := func(w sdk.Workspace) (err error) {
		if agent, err = w.Agent(t.name); err == nil && !pending(agent) {
			err = sdk.ErrEnough
		}
		return err
	}
	err = c.Watch(limited, sdk.Watching{Topic: sdk.WatchAgents, WorkspaceID: t.workspace.ID}, func() error {
		// What is known of the agent is from before it connected.
		w, err := c.Workspace(limited, t.workspace.Owner, t.workspace.Name)
		if err != nil {
			return err
		}
		return look(w)
	}, func(change sdk.Change) error {
		if change.Workspace == nil {
			return fmt.Errorf("workspace %s is gone", t.name)
		}
		return look(*change.Workspace)
	})
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("the startup scripts of workspace %s are not done within %v; 'adit logs %s' shows what they do, --wait=no does not wait", t.name, wait, t.name)
	case err != nil:
		return err
	case agent.Scripts == sdk.ScriptsFailed || agent.Scripts == sdk.ScriptsTimeout:
		fmt.Fprintf(a.err, "The startup scripts of %s did not succeed (%s); see 'adit logs %s'.\r\n", t.name, agent.Scripts, t.name)
	}
	return nil
}
