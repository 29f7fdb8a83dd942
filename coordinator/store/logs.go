package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// LogLine is one line of a job's log.
type LogLine struct {
	Seq          int64 // from 1, without gaps
	At           time.Time
	Stage, Level string
	Text         string
}

// AppendLog adds lines to the log of a job's attempt, in which they follow each
// other from the one numbered first on; those that were taken already are left
// out. fit, which is told how many bytes the log has, says which of the others to
// keep. Their Seq is not looked at. ErrNotFound unless it is the job's last attempt.
func (s *Store) AppendLog(ctx context.Context, at JobAttempt, first int64, lines []LogLine, fit func(size int64, lines []LogLine) []LogLine) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		j, err := q.LockJob(ctx, at.ID)
		if err != nil {
			return err
		}
		if int(j.Attempt) != at.Attempt {
			return ErrNotFound
		}
		taken := first - 1 + int64(len(lines))
		if j.LogAttempt == j.Attempt {
			lines = lines[min(max(0, j.LogTaken-first+1), int64(len(lines))):]
		}
		lines = fit(j.LogBytes, lines)
		if len(lines) == 0 {
			return nil
		}
		p := db.InsertLogsParams{JobID: at.ID}
		size := int64(0)
		for i, l := range lines {
			p.Seqs = append(p.Seqs, j.LogSeq+int64(i)+1)
			p.Ats = append(p.Ats, l.At)
			p.Stages = append(p.Stages, l.Stage)
			p.Levels = append(p.Levels, l.Level)
			p.Lines = append(p.Lines, l.Text)
			size += int64(len(l.Text)) + 1
		}
		if err := q.InsertLogs(ctx, p); err != nil {
			return err
		}
		return q.AddLogBytes(ctx, db.AddLogBytesParams{ID: at.ID, Lines: int64(len(lines)), Bytes: size, Taken: taken})
	})
	if err != nil {
		return fmt.Errorf("store: log of job %s: %w", at.ID, kind(err))
	}
	return nil
}

// Log returns at most limit lines of a job's log, from the one after seq on.
func (s *Store) Log(ctx context.Context, jobID uuid.UUID, after int64, limit int) ([]LogLine, error) {
	rows, err := one(ctx, "log of job "+jobID.String(), func(ctx context.Context) ([]db.JobLog, error) {
		return s.q.LogsAfter(ctx, db.LogsAfterParams{JobID: jobID, Seq: after, Limit: int32(limit)})
	})
	lines := make([]LogLine, 0, len(rows))
	for _, r := range rows {
		lines = append(lines, LogLine{Seq: r.Seq, At: r.At, Stage: r.Stage, Level: r.Level, Text: r.Line})
	}
	return lines, err
}
