// Package script runs the scripts of a workspace inside it: some when the agent
// starts, some before it ends, some at times, and some all the time.
//
// A [Runner] runs them side by side, unless one is to run after another, each a
// process group of its own, and sends what they say and how each is doing to the
// coordinator. Call Start once, and Stop once when the agent ends; it returns when
// the shutdown scripts are done and all of it is sent, or their time is up. An agent
// that makes way for another program calls HandOver in its place. What a
// startup script leaves running in the background stays, and its output is kept as
// the script's; what others leave ends with them.
package script

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aditmesh/adit/agent/family"
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

// Step is something that the agent itself does before startup scripts run, such as
// fetching what they are to work on.
type Step struct {
	Name string
	// Do calls say with a level and a line, and returns scripts that it found to
	// run beside the template's. An error fails the start, and nothing that follows
	// is kept from running.
	Do func(ctx context.Context, say func(level, line string)) ([]sdk.Script, error)
}

// Config configures a Runner.
type Config struct {
	// Steps come first, one after the other.
	Steps   []Step
	Scripts []sdk.Script
	// Shell runs scripts that name no interpreter in a first line "#!".
	Shell string
	// Dir is where they run, or Home while it is not there, and Env their
	// environment.
	Dir, Home string
	Env       []string
	// Start starts them; nil starts them as they are.
	Start family.Starter
	// LastLine is the number of the last line that the coordinator has.
	LastLine    int64
	Coordinator Coordinator
	// Logger gets one line a script; nil discards.
	Logger *slog.Logger
	// Before is how scripts were doing when a Runner handed over to this one, and
	// Outputs what it read: startup scripts that ended do not run again.
	Before  []sdk.ScriptStatus
	Outputs []Output
	// RestartAfter is how long a service that failed waits at first. Zero means a
	// second.
	RestartAfter time.Duration
}

// Runner runs scripts.
type Runner struct {
	cfg     Config
	log     *slog.Logger
	shipper *shipper
	board   *board
	cancel  context.CancelFunc // ends all but shutdown scripts
	running sync.WaitGroup
	stops   []placed
	before  []sdk.ScriptStatus // of the Runner before, what has no place yet
	outputs outputs
}

// placed is a script with its place on the board.
type placed struct {
	sdk.Script
	place int
	ended string // how it ended before this Runner; empty if it did not
}

// New returns a runner that has run nothing yet.
func New(cfg Config) *Runner {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.RestartAfter = cmp.Or(cfg.RestartAfter, defaultRestartAfter)
	r := &Runner{cfg: cfg, log: cfg.Logger, before: slices.Clone(cfg.Before), shipper: newShipper(cfg.Coordinator, cfg.LastLine, cfg.Logger)}
	r.board = newBoard(r.shipper.report)
	return r
}

// Start starts the startup scripts, the services, and waiting for the times of
// others. They end by themselves, when their time is up, or with Stop.
func (r *Runner) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.shipper.start()
	for _, o := range r.cfg.Outputs {
		r.outputs.readers.Go(func() {
			r.outputs.read(o.File, o.Script, func(line string) { r.shipper.say(o.Script, "info", line) })
		})
	}
	var steps, starts []placed
	for _, s := range r.cfg.Steps {
		steps = append(steps, r.place(sdk.Script{Name: s.Name, RunOn: runOnStart}))
	}
	for _, s := range r.cfg.Scripts {
		p := r.place(s)
		switch s.RunOn {
		case runOnStart:
			starts = append(starts, p)
		case runOnStop:
			r.stops = append(r.stops, p)
		default:
			r.runAtTimes(ctx, p)
		}
	}
	if len(r.cfg.Steps)+len(r.cfg.Scripts) == 0 {
		return
	}
	r.board.overall(sdk.ScriptsRunning)
	r.running.Go(func() {
		state := r.runSteps(ctx, steps, &starts)
		state = worse(state, r.runAll(ctx, starts))
		if ctx.Err() == nil { // else they were cut short, which tells nothing
			r.board.overall(state)
		}
	})
}

const (
	runOnStart = "start"
	runOnStop  = "stop"
)

// place puts a script on the board, as it was left there if it was.
func (r *Runner) place(s sdk.Script) placed {
	p := placed{Script: s, place: r.board.add(s)}
	i := slices.IndexFunc(r.before, func(b sdk.ScriptStatus) bool { return b.Name == s.Name && b.RunOn == s.RunOn })
	if i < 0 || s.Service || s.RunOn != runOnStart || !r.before[i].Over() {
		return p
	}
	r.board.restore(p.place, r.before[i])
	p.ended = r.before[i].State
	r.before = slices.Delete(r.before, i, i+1) // another of its name is another
	return p
}

// Stop ends what still runs, runs the shutdown scripts, and sends what is left to
// send.
func (r *Runner) Stop() {
	r.cancel()
	r.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	r.runAll(ctx, r.stops)
	r.shipper.stop(flushTimeout)
}

// HandOver ends what still runs, runs no shutdown scripts, for nothing shuts down, sends
// what is left to send, and returns how scripts were doing and what is still to be
// read.
func (r *Runner) HandOver() ([]sdk.ScriptStatus, []Output) {
	now := r.board.now()
	r.cancel()
	r.running.Wait()
	left := r.outputs.take()
	r.shipper.stop(flushTimeout)
	return now, left
}

// Starting reports whether startup scripts still run or wait.
func (r *Runner) Starting() bool {
	return slices.ContainsFunc(r.board.now(), func(s sdk.ScriptStatus) bool {
		return s.RunOn == runOnStart && !s.Service && !s.Over()
	})
}

// runSteps runs the agent's own steps and adds the scripts that they find.
func (r *Runner) runSteps(ctx context.Context, steps []placed, starts *[]placed) string {
	worst := sdk.ScriptsSucceeded
	for i, p := range steps {
		var found []sdk.Script
		worst = worse(worst, r.observe(ctx, ctx, p, func() (err error) {
			found, err = r.cfg.Steps[i].Do(ctx, func(level, line string) { r.shipper.say(p.Name, level, line) })
			return err
		}))
		for _, s := range found {
			switch p := r.place(s); s.RunOn {
			case runOnStart:
				*starts = append(*starts, p)
			case runOnStop:
				r.stops = append(r.stops, p)
			default:
				r.runAtTimes(ctx, p)
			}
		}
	}
	return worst
}

// runAll runs scripts, each when those that it runs after have succeeded, and
// returns the worst of how they ended. It waits for no service to end.
func (r *Runner) runAll(ctx context.Context, scripts []placed) string {
	plain := make([]sdk.Script, len(scripts))
	for i, p := range scripts {
		plain[i] = p.Script
	}
	wrong := faults(plain)
	results := make([]*result, len(scripts))
	for i := range scripts {
		results[i] = &result{done: make(chan struct{})}
	}
	for i, p := range scripts {
		var before []*result
		for j, q := range scripts {
			if slices.Contains(p.RunAfter, q.Name) && j != i {
				before = append(before, results[j])
			}
		}
		r.running.Go(func() { r.runInTurn(ctx, p, wrong[i], before, results[i]) })
	}
	worst := sdk.ScriptsSucceeded
	for _, res := range results {
		<-res.done
		worst = worse(worst, res.state)
	}
	return worst
}

// result is how a script ended, or that a service began.
type result struct {
	done  chan struct{}
	state string // set before done is closed
}

func (r *result) is(state string) {
	r.state = state
	close(r.done)
}

// runInTurn runs a script once those before it have succeeded.
func (r *Runner) runInTurn(ctx context.Context, p placed, wrong string, before []*result, res *result) {
	if p.ended != "" {
		res.is(p.ended)
		return
	}
	if wrong != "" {
		r.refuse(p, sdk.ScriptsFailed, wrong)
		res.is(sdk.ScriptsFailed)
		return
	}
	for _, b := range before {
		<-b.done // they end with ctx, too
		if b.state != sdk.ScriptsSucceeded {
			if ctx.Err() == nil {
				r.refuse(p, sdk.ScriptSkipped, "what it runs after did not succeed")
			}
			res.is(sdk.ScriptSkipped)
			return
		}
	}
	if p.Service {
		r.serve(ctx, p, func() { res.is(sdk.ScriptsSucceeded) })
		return
	}
	res.is(r.run(ctx, p, nil))
}

// refuse says why a script does not run.
func (r *Runner) refuse(p placed, state, why string) {
	r.shipper.say(p.Name, "error", "does not run: "+why)
	r.board.change(p.place, func(s *sdk.ScriptStatus) { s.State, s.Message = state, why })
}

// worse returns the worse of two states of startup scripts. One that was skipped
// is so because another failed, which tells more.
func worse(a, b string) string {
	rank := []string{sdk.ScriptsSucceeded, sdk.ScriptSkipped, sdk.ScriptsTimeout, sdk.ScriptsFailed}
	if slices.Index(rank, b) > slices.Index(rank, a) {
		return b
	}
	return a
}

// run runs one script to its end, says how it ended, and returns that. started is
// called once it runs; nil is nobody.
func (r *Runner) run(ctx context.Context, p placed, started func()) string {
	limited := ctx
	if p.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
		defer cancel()
	}
	return r.observe(ctx, limited, p, func() error {
		return r.execute(limited, p.Script, started, func(line string) { r.shipper.say(p.Name, "info", line) })
	})
}

// observe does something in a script's name, and says when it begins and how it
// ends.
func (r *Runner) observe(ctx, limited context.Context, p placed, do func() error) string {
	began := time.Now()
	r.log.Info("script starts", "script", p.Name, "on", p.RunOn)
	r.board.began(p.place, began)
	err := do()
	ended := time.Now()
	e := endingOf(err, ctx, limited, p.TimeoutSeconds)
	text := fmt.Sprintf("%s after %v", e.text, ended.Sub(began).Round(time.Millisecond))
	r.log.Info("script ended", "script", p.Name, "state", e.state, "how", text)
	r.shipper.say(p.Name, e.level, text)
	r.board.ended(p.place, ended, e)
	return e.state
}
