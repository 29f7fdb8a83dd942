package workspaces

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// maxLog bounds what is kept of one job's log, in bytes of text. maxErrors more
	// is for errors, which come last and are what people look for.
	maxLog    = 4 << 20
	maxErrors = 256 << 10

	// maxBatch and maxLine are the protocol's limits on one message.
	maxBatch = 256
	maxLine  = 4 << 10

	// logPage is how many lines a follower gets at once.
	logPage = 500

	// logPoll is how often a follower looks of itself.
	logPoll = 5 * time.Second
)

// logFull is the line of a log that is too long after which only errors come.
const logFull = "the log is longer than 4 MiB; what follows is not kept, but for errors"

// fitLog returns what is kept of lines in a log of so many bytes. The line that
// takes it past its limit is followed by one that says so.
func fitLog(size int64, lines []store.LogLine) (kept []store.LogLine) {
	for _, l := range lines {
		full := size > maxLog
		if full && (l.Level != "error" || size > maxLog+maxErrors) {
			continue
		}
		kept = append(kept, l)
		size += int64(len(l.Text)) + 1
		if !full && size > maxLog {
			kept = append(kept, store.LogLine{At: l.At, Stage: l.Stage, Level: "warn", Text: logFull})
			size += int64(len(logFull)) + 1
		}
	}
	return kept
}

// linesFrom reads lines as a provisioner sent them.
func linesFrom(l *provisionerv1.Log) ([]store.LogLine, error) {
	if n := len(l.GetLines()); n > maxBatch {
		return nil, badInput("%d lines of log, at most %d are allowed", n, maxBatch)
	}
	if l.GetFirst() == 0 || l.GetFirst() > 1<<40 {
		return nil, badInput("lines of log from number %d on; the first is 1", l.GetFirst())
	}
	lines := make([]store.LogLine, 0, len(l.GetLines()))
	for _, in := range l.GetLines() {
		if len(in.GetText()) > maxLine || len(in.GetStage()) > 64 {
			return nil, badInput("a line of log of %d bytes, at most %d are allowed", len(in.GetText()), maxLine)
		}
		lines = append(lines, store.LogLine{
			At: time.UnixMilli(in.GetAtMs()), Stage: noNUL(in.GetStage()), Text: noNUL(in.GetText()),
			Level: strings.ToLower(in.GetLevel().String()),
		})
	}
	return lines, nil
}

// noNUL takes out what Postgres cannot keep.
func noNUL(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Log returns at most 500 lines of a job's log, from the one after seq on.
func (s *Service) Log(ctx context.Context, jobID uuid.UUID, after int64) ([]store.LogLine, error) {
	return s.store.Log(ctx, jobID, after, logPage)
}

// FollowLog gives a job's log to f, from the line after seq on, until the job
// is over and nothing is left, f fails or ctx is done. f gets at least one line
// each time. Any number may follow; each may come back with the last Seq it got.
func (s *Service) FollowLog(ctx context.Context, jobID uuid.UUID, after int64, f func([]store.LogLine) error) error {
	next, stop := s.changes.follow(jobID)
	defer stop()
	poll := time.NewTicker(logPoll)
	defer poll.Stop()
	for {
		changed := next()
		// The order matters: what is written before the job is over is found
		// after it is seen to be.
		job, err := s.store.Job(ctx, jobID)
		if err != nil {
			return err
		}
		for {
			lines, err := s.Log(ctx, jobID, after)
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				break
			}
			if err := f(lines); err != nil {
				return err
			}
			after = lines[len(lines)-1].Seq
		}
		if job.Status.Over() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-poll.C:
		}
	}
}
