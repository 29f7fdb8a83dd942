package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aditmesh/adit/agent/pty"
	"github.com/aditmesh/adit/agent/script"
	"github.com/aditmesh/adit/agent/ssh"
	"github.com/aditmesh/adit/agent/stats"
	"github.com/aditmesh/adit/agent/update"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxWithin bounds how long an update may wait for people to leave.
	maxWithin = 24 * time.Hour

	// leastWithin is how long the answer to who asked has to arrive.
	leastWithin = time.Second

	// lookEvery is how often it is looked whether people have left.
	lookEvery = 500 * time.Millisecond
)

// UpdateSubsystem is what clients of SSH have the agent update itself by, followed by
// the seconds that it may wait for people to leave.
const UpdateSubsystem = "adit-update"

// Updated is the end of an agent whose program was replaced. Whoever ran it starts it
// again, with what it hands over.
type Updated struct{ Handover Handover }

func (*Updated) Error() string { return "agent: the program was updated and is to be started" }

// Handover is what an agent leaves to the one that runs in its place in the same
// process.
type Handover struct {
	Scripts []sdk.ScriptStatus `json:"scripts,omitempty"`
	// Outputs are read for scripts: see [script.Output].
	Outputs []HandedOutput `json:"outputs,omitempty"`
}

// HandedOutput is an open file, by its number in this process.
type HandedOutput struct {
	Script string   `json:"script"`
	FD     uintptr  `json:"fd"`
	file   *os.File // or it would be collected, and closed
}

// updater replaces the agent's program when somebody asks for it, and has the agent
// end for the new one once nobody is in the middle of something.
type updater struct {
	cfg         Config
	coordinator *sdk.Client
	tally       *stats.Tally
	terminals   *pty.Sessions
	scripts     atomic.Pointer[script.Runner] // nil until there is one
	due         chan time.Time                // when it is to end at the latest
	restart     chan struct{}                 // closed when it is to end

	mu      sync.Mutex // held while a program is fetched, and guards what follows
	running string     // digest of what runs; empty until it is known
}

func newUpdater(cfg Config, c *sdk.Client, tally *stats.Tally, terminals *pty.Sessions) *updater {
	return &updater{cfg: cfg, coordinator: c, tally: tally, terminals: terminals, due: make(chan time.Time), restart: make(chan struct{})}
}

// inUse is how many things people or scripts are in the middle of that end with this
// process. Sessions that tmux or screen keep do not.
func (u *updater) inUse() int {
	n := u.tally.Open() + u.terminals.Kept()
	if r := u.scripts.Load(); r != nil && r.Starting() {
		n++
	}
	return n
}

// run waits until an update is due, or ctx ends.
func (u *updater) run(ctx context.Context) {
	var due time.Time
	var look <-chan time.Time // nil until there is something to look for
	for {
		select {
		case <-ctx.Done():
			return
		case due = <-u.due: // who asked is answered first
		case <-look:
			if u.inUse() == 0 || time.Now().After(due) {
				close(u.restart)
				return
			}
		}
		look = time.After(lookEvery)
	}
}

// errNoUpdates is an agent whose program others look after.
var errNoUpdates = &sdk.Error{
	Status: http.StatusForbidden,
	Detail: "this agent may not replace its program: start it with --allow-update or ADIT_AGENT_ALLOW_UPDATE=1 where the program is its own, or replace it where it comes from and restart the workspace",
}

// update fetches the coordinator's program and says what becomes of it.
func (u *updater) update(ctx context.Context, within time.Duration) (update.Answer, error) {
	if !u.cfg.AllowUpdate {
		return update.Answer{}, errNoUpdates
	}
	within = min(max(within, leastWithin), maxWithin)
	u.mu.Lock()
	defer u.mu.Unlock()
	p, err := u.fetch(ctx)
	if err != nil {
		u.cfg.Logger.Warn("not updated", "err", err)
		return update.Answer{}, err
	}
	a := update.Answer{Version: u.cfg.Version}
	if p.Digest == u.running {
		return a, nil
	}
	select {
	case u.due <- time.Now().Add(within):
	case <-u.restart: // it ends already
	case <-ctx.Done():
		return a, ctx.Err()
	}
	a = update.Answer{Version: p.Version, Changed: true, InUse: u.inUse(), WithinSeconds: int64(within / time.Second)}
	u.cfg.Logger.Info("the program was updated", "version", p.Version, "sha256", p.Digest, "in use", a.InUse, "within", within)
	return a, nil
}

// fetch puts the coordinator's program in place. u.mu is held.
func (u *updater) fetch(ctx context.Context) (update.Program, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err == nil && u.running == "" {
		u.running, err = update.Digest(runningProgram(program))
	}
	if err != nil {
		return update.Program{}, fmt.Errorf("agent: its own program: %w", err)
	}
	return update.Fetch(ctx, update.Config{Coordinator: u.coordinator, Program: program, Running: u.running, Start: u.cfg.Start})
}

// runningProgram is the file of what runs, also if another has taken its place.
func runningProgram(program string) string {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self
	}
	return program
}

// subsystem answers clients of SSH.
func (u *updater) subsystem() map[string]ssh.Subsystem {
	return map[string]ssh.Subsystem{UpdateSubsystem: func(ctx context.Context, request []string, w io.Writer) error {
		if len(request) != 1 {
			return errors.New("want seconds")
		}
		seconds, err := strconv.ParseUint(request[0], 10, 31)
		if err != nil {
			return fmt.Errorf("seconds: %w", err)
		}
		a, err := u.update(ctx, time.Duration(seconds)*time.Second)
		if err != nil {
			return err
		}
		a.InUse = max(a.InUse-1, 0) // one of them is that of who asks
		return json.NewEncoder(w).Encode(a)
	}}
}
