package script

import (
	"slices"
	"sync"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// board has how each script is doing, and tells of every change.
type board struct {
	tell func(sdk.ScriptsReport)

	mu     sync.Mutex // guards what follows
	report sdk.ScriptsReport
}

func newBoard(tell func(sdk.ScriptsReport)) *board {
	return &board{tell: tell, report: sdk.ScriptsReport{State: sdk.ScriptsNone}}
}

// maxScripts bounds those of a workspace. The coordinator takes no more.
const maxScripts = 256

// add puts a script on the board and returns its place.
func (b *board) add(s sdk.Script) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report.Scripts = append(b.report.Scripts, sdk.ScriptStatus{
		Name: s.Name, RunOn: s.RunOn, State: sdk.ScriptWaiting, Blocking: s.BlocksLogin, Service: s.Service,
	})
	return len(b.report.Scripts) - 1
}

// restore gives a script the status that it had before.
func (b *board) restore(place int, s sdk.ScriptStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report.Scripts[place] = s
}

// now is how each script is doing.
func (b *board) now() []sdk.ScriptStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.report.Scripts)
}

// change changes one script's status.
func (b *board) change(place int, f func(*sdk.ScriptStatus)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.report.Scripts[place]
	f(s)
	s.Message = s.Message[:min(len(s.Message), maxMessage)]
	b.send()
}

// maxMessage bounds a status's message.
const maxMessage = 500

// overall sets how the startup scripts are doing together.
func (b *board) overall(state string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report.State = state
	b.send()
}

// send tells of the board as it is. b.mu is held.
func (b *board) send() {
	r := b.report
	r.Scripts = append([]sdk.ScriptStatus(nil), r.Scripts[:min(len(r.Scripts), maxScripts)]...)
	b.tell(r)
}

// began notes that a script runs.
func (b *board) began(place int, at time.Time) {
	b.change(place, func(s *sdk.ScriptStatus) {
		s.State, s.StartedAt, s.FinishedAt, s.NextAt, s.Message = sdk.ScriptsRunning, &at, nil, nil, ""
		s.Runs++
	})
}

// ended notes how a run ended.
func (b *board) ended(place int, at time.Time, e ending) {
	b.change(place, func(s *sdk.ScriptStatus) {
		s.State, s.FinishedAt, s.ExitCode, s.Message = e.state, &at, e.code, e.text
	})
}
