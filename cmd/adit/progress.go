package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// redrawEvery is how often the time of a stage under way is shown anew.
	redrawEvery = 100 * time.Millisecond

	// spare is what a line that is drawn over leaves free at its end: for the "^C"
	// that a terminal puts there, which else would be in the next line.
	spare = 3

	// maxReason is how much of why a job failed is said after its problems, which
	// have all of it.
	maxReason = 200
)

// watch shows a job's progress until it is over and returns it: stage by stage
// on a terminal, line by line elsewhere. Both go to stderr, which leaves stdout
// to the result.
func (a *app) watch(ctx context.Context, title string, open func(after int64) (*sdk.Log, error)) (sdk.Job, error) {
	if !isTerminal(a.err) || a.verbose {
		return sdk.Follow(ctx, open, func(l sdk.LogLine) error { return writeLogLine(a.err, l) })
	}
	lines := make(chan sdk.LogLine)
	type end struct {
		job sdk.Job
		err error
	}
	ended := make(chan end, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		job, err := sdk.Follow(ctx, open, func(l sdk.LogLine) error {
			select {
			case lines <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		ended <- end{job, err}
	}()
	s := newStages(a.err, title, time.Now())
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case l := <-lines:
			s.line(l, time.Now())
		case now := <-tick.C:
			s.draw(now)
		case e := <-ended:
			s.end(time.Now(), e.job)
			return e.job, e.err
		}
	}
}

// stages draws the stages of a job: a line for each that is over, with how long
// it took, and one for the stage under way.
type stages struct {
	w     io.Writer
	title string
	stage string // under way; empty before the first
	since time.Time
	last  string // what was last said
	began time.Time
}

func newStages(w io.Writer, title string, now time.Time) *stages {
	s := &stages{w: w, title: title, since: now, began: now}
	fmt.Fprintf(w, "%s…\n", title)
	return s
}

// line takes a line of the log.
func (s *stages) line(l sdk.LogLine, now time.Time) {
	if l.Stage != s.stage {
		if l.Stage != sdk.StageQueued { // which it has been from the beginning
			s.finish(now, "✓")
			s.since = now
		}
		s.stage, s.last = l.Stage, ""
	}
	if l.Level != "debug" {
		s.last = oneLine(l.Text)
	}
	s.draw(now) // problems are told when it is over: see judge
}

// finish writes the stage under way as over.
func (s *stages) finish(now time.Time, mark string) {
	if s.stage == "" {
		return
	}
	fmt.Fprintf(s.w, "\r\x1b[K%s %-8s %s\n", mark, s.stage, seconds(now.Sub(s.since)))
}

// draw writes the stage under way.
func (s *stages) draw(now time.Time) {
	stage := s.stage
	if stage == "" {
		stage = "queued"
	}
	text := fmt.Sprintf("… %-8s %s  %s", stage, seconds(now.Sub(s.since)), s.last)
	if r, fits := []rune(text), max(0, s.width()-spare); len(r) > fits {
		text = string(r[:fits])
	}
	fmt.Fprintf(s.w, "\r\x1b[K%s", text)
}

func (s *stages) width() int {
	if f, ok := s.w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// end writes how the job ended.
func (s *stages) end(now time.Time, job sdk.Job) {
	switch job.Status {
	case "succeeded":
		s.finish(now, "✓")
		fmt.Fprintf(s.w, "\r\x1b[K%s: done in %s\n", s.title, strings.TrimSpace(seconds(now.Sub(s.began))))
	case "failed", "canceled":
		s.finish(now, "✗")
	}
	fmt.Fprint(s.w, "\r\x1b[K")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%5.1f s", d.Seconds()) }

// writeLogLine writes a line of a log for people and for grep.
func writeLogLine(w io.Writer, l sdk.LogLine) error {
	level := ""
	if l.Level == "warn" || l.Level == "error" {
		level = strings.ToUpper(l.Level) + ": "
	}
	_, err := fmt.Fprintf(w, "%s %-8s %s%s\n", l.At.Local().Format(time.TimeOnly), l.Stage, level, foreign.Printable(l.Text))
	return err
}

// watchEnded says what becomes of a job that is not watched any more.
func (a *app) watchEnded(ctx context.Context, err error, what, see string) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s goes on without you; '%s' shows how it is doing", what, see)
	}
	return fmt.Errorf("cannot follow %s: %w; '%s' shows how it is doing", what, err, see)
}

// judge writes what a job found wrong and returns an error unless it succeeded.
func (a *app) judge(job sdk.Job, what, try string) error {
	reason := job.Error
	for _, p := range job.Problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		} else if r := []rune(reason); len(r) > maxReason {
			reason = string(r[:maxReason]) + "…"
		}
		fmt.Fprintf(a.err, "%s: %s\n", kind, oneLine(p.String()))
	}
	switch job.Status {
	case "succeeded":
		return nil
	case "canceled":
		return fmt.Errorf("%s was canceled; %s", what, try)
	default:
		return fmt.Errorf("%s failed: %s; %s", what, strings.TrimSuffix(reason, "."), try)
	}
}
