package provisioner

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/pkg/foreign"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// A line that is longer, and a batch that has more, is cut: see the protocol.
	maxLine  = 4 << 10
	maxBatch = 256

	// maxLog bounds a job's log; then one line says so. maxErrors more is for
	// errors, which come last and are what people look for.
	maxLog    = 4 << 20
	maxErrors = 256 << 10

	// drainTimeout is how long a result waits for the last lines: for as many as
	// there can be, one by one.
	drainTimeout = 20 * time.Second

	// maxText bounds what is said about a problem.
	maxText = 16 << 10
)

// logs are a job's lines on their way to the coordinator. They wait until it has
// said that it has them; the bound of a log is that of the memory they take.
type logs struct {
	*redactor

	mu    sync.Mutex // guards the following
	lines []*provisionerv1.Line
	taken int // how many came before them, which the coordinator has
	bytes int
	cut   bool
	stage string
	empty chan struct{} // closed when all is sent; nil if nobody waits
}

func newLogs(r *redactor) *logs { return &logs{redactor: r} }

// add takes a line, and reports whether there is room for more than errors. It
// never blocks.
func (l *logs) add(line *provisionerv1.Line) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stage = line.GetStage()
	limit := maxLog
	if line.GetLevel() == provisionerv1.Line_ERROR {
		limit += maxErrors
	}
	if l.bytes < limit {
		line.Text = foreign.Clip(foreign.Printable(l.redact(line.GetText())), maxLine)
		l.bytes += len(line.GetText()) + 1
		l.lines = append(l.lines, line)
		return true
	}
	if !l.cut {
		l.cut = true
		l.lines = append(l.lines, &provisionerv1.Line{
			AtMs: line.GetAtMs(), Stage: line.GetStage(), Level: provisionerv1.Line_WARN,
			Text: "the log is longer than 4 MiB; what follows is left out, but for errors",
		})
	}
	return false
}

// say adds a line of the provisioner's own.
func (l *logs) say(level provisionerv1.Line_Level, text string) {
	l.mu.Lock()
	stage := l.stage
	l.mu.Unlock()
	l.add(&provisionerv1.Line{AtMs: time.Now().UnixMilli(), Stage: stage, Level: level, Text: text})
}

// send sends all lines in batches, each with the number of its first; what send
// does not take waits for the next session. It reports whether all were taken.
func (l *logs) send(send func(first uint64, lines []*provisionerv1.Line) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.lines) > 0 {
		n := min(len(l.lines), maxBatch)
		batch, first := l.lines[:n:n], uint64(l.taken)+1
		l.mu.Unlock()
		ok := send(first, batch)
		l.mu.Lock()
		if !ok {
			return false
		}
		l.lines = l.lines[n:] // this is the only one who takes
		l.taken += n
	}
	if l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
	return true
}

// drain waits until all lines are sent, for which it calls hurry, though not for
// ever: a result is worth more than its log.
func (l *logs) drain(ctx context.Context, hurry func()) {
	l.mu.Lock()
	if len(l.lines) == 0 {
		l.mu.Unlock()
		return
	}
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.mu.Unlock()
	hurry()
	select {
	case <-empty:
	case <-ctx.Done():
	case <-time.After(drainTimeout):
	}
}

// oneLine makes an error fit for one line.
func oneLine(s string) string {
	return foreign.Clip(strings.Join(strings.Fields(foreign.Printable(s)), " "), maxLine)
}

// bounded cuts a text that may have several lines.
func bounded(s string) string {
	return foreign.Clip(strings.ToValidUTF8(s, ""), maxText)
}
