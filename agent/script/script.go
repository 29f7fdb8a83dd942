// Package script runs the scripts of a workspace's template inside it: some
// when the agent starts, some before it ends.
//
// A [Runner] runs them side by side, each a process group of its own, and sends
// what they say and how they end to the coordinator. Call Start once, and Stop
// once when the agent ends; it returns when the shutdown scripts are done and
// all of it is sent, or their time is up. What a script leaves running in the
// background stays, and its output is kept as the script's.
package script

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// stopTimeout bounds shutdown scripts that have no limit of their own: who
	// stops a workspace waits for them.
	stopTimeout = time.Minute

	// flushTimeout bounds sending what is left when the agent ends.
	flushTimeout = 5 * time.Second
)

// Coordinator is where logs and states go; *sdk.Client is one.
type Coordinator interface {
	SendAgentLines(ctx context.Context, lines []sdk.LogLine) error
	ReportScripts(ctx context.Context, r sdk.ScriptsReport) error
}

// Config configures a Runner.
type Config struct {
	Scripts []sdk.Script
	// Shell runs scripts that name no interpreter in a first line "#!".
	Shell string
	// Dir is where they run, and Env their environment.
	Dir string
	Env []string
	// LastLine is the number of the last line that the coordinator has.
	LastLine    int64
	Coordinator Coordinator
	// Logger gets one line a script; nil discards.
	Logger *slog.Logger
}

// Runner runs scripts.
type Runner struct {
	cfg     Config
	log     *slog.Logger
	shipper *shipper
	cancel  context.CancelFunc // ends startup scripts
	starts  sync.WaitGroup
}

// New returns a runner that has run nothing yet.
func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runner{cfg: cfg, log: cfg.Logger, shipper: newShipper(cfg.Coordinator, cfg.LastLine, cfg.Logger)}
}

// Start starts the startup scripts. They end by themselves, when their time is
// up, or with Stop.
func (r *Runner) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.shipper.start()
	scripts := r.on("start")
	for _, s := range r.cfg.Scripts {
		if s.RunOn != "start" && s.RunOn != "stop" {
			r.shipper.say(s.Name, "warn", fmt.Sprintf("does not run: %q is neither start nor stop, and there are no schedules yet", s.RunOn))
		}
	}
	if len(scripts) == 0 {
		return
	}
	r.shipper.report(sdk.ScriptsRunning)
	r.starts.Go(func() {
		state := r.runAll(ctx, scripts)
		if ctx.Err() == nil { // else they were cut short, which tells nothing
			r.shipper.report(state)
		}
	})
}

// Stop ends startup scripts that still run, runs the shutdown scripts, and
// sends what is left to send.
func (r *Runner) Stop() {
	r.cancel()
	r.starts.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	r.runAll(ctx, r.on("stop"))
	r.shipper.stop(flushTimeout)
}

func (r *Runner) on(event string) []sdk.Script {
	var list []sdk.Script
	for _, s := range r.cfg.Scripts {
		if s.RunOn == event {
			list = append(list, s)
		}
	}
	return list
}

// runAll runs scripts side by side and returns the worst of how they ended.
func (r *Runner) runAll(ctx context.Context, scripts []sdk.Script) string {
	states := make(chan string, len(scripts))
	for _, s := range scripts {
		go func() { states <- r.run(ctx, s) }()
	}
	worst := sdk.ScriptsSucceeded
	for range scripts {
		switch state := <-states; {
		case state == sdk.ScriptsFailed, worst == sdk.ScriptsSucceeded:
			worst = state
		}
	}
	return worst
}

// run runs one script to its end and says how it ended.
func (r *Runner) run(ctx context.Context, s sdk.Script) string {
	limited := ctx
	if s.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, time.Duration(s.TimeoutSeconds)*time.Second)
		defer cancel()
	}
	began := time.Now()
	r.log.Info("script starts", "script", s.Name, "on", s.RunOn)
	err := r.execute(limited, s, func(line string) { r.shipper.say(s.Name, "info", line) })
	took := time.Since(began).Round(time.Millisecond)
	state, level, text := sdk.ScriptsSucceeded, "info", fmt.Sprintf("exit code 0 after %v", took)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		state, level, text = sdk.ScriptsTimeout, "error", fmt.Sprintf("ended: it took longer than %d s", s.TimeoutSeconds)
	case err != nil && ctx.Err() != nil:
		state, level, text = sdk.ScriptsFailed, "error", fmt.Sprintf("cut short after %v", took)
	case err != nil:
		// "exit status 3" is what Go calls it.
		state, level = sdk.ScriptsFailed, "error"
		text = fmt.Sprintf("%s after %v", strings.Replace(err.Error(), "exit status", "exit code", 1), took)
	}
	r.log.Info("script ended", "script", s.Name, "state", state, "how", text)
	r.shipper.say(s.Name, level, text)
	return state
}
