package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// LogLine is one line of a job or of an agent's script.
type LogLine struct {
	// Seq grows from line to line; reading resumes after it.
	Seq   int64     `json:"seq"`
	At    time.Time `json:"at"`
	Stage string    `json:"stage" doc:"init, plan, apply and so on; of an agent, the script's name"`
	Level string    `json:"level" enum:"debug,info,warn,error"`
	Text  string    `json:"text"`
}

// LogEvent is one element of a followed log: a line, or the job as it ended,
// which comes last.
type LogEvent struct {
	Line *LogLine `json:"line,omitempty"`
	Job  *Job     `json:"job,omitempty"`
	// Waiting is why the job has not begun, each time that this is another.
	Waiting *Waiting `json:"waiting,omitempty"`
}

// StageQueued is the stage of lines that say why a job has not begun. They are not
// in its log, and have no number.
const StageQueued = "queued"

// line is what is said of a wait to those who follow the log.
func (w Waiting) line() LogLine {
	l := LogLine{At: time.Now(), Stage: StageQueued, Level: "info", Text: w.Message}
	if w.Stuck {
		l.Level = "warn"
	}
	return l
}

// Log reads a log. The caller closes it.
type Log struct {
	body io.ReadCloser
	scan *bufio.Scanner
}

// maxLogLine bounds one element of a log: a line is at most 4 KiB before JSON
// escapes it, a job has problems with it.
const maxLogLine = 1 << 20

// ErrCutOff is a log that ended before its job did; read on after the last line.
var ErrCutOff = errors.New("the log was cut off")

// Next returns the next element; io.EOF after the last of those there are. Any
// other error means that the connection broke.
func (l *Log) Next() (LogEvent, error) {
	for l.scan.Scan() {
		if len(l.scan.Bytes()) == 0 {
			continue // a sign of life
		}
		var e LogEvent
		if err := json.Unmarshal(l.scan.Bytes(), &e); err != nil {
			return e, fmt.Errorf("%w: %w", ErrCutOff, err)
		}
		return e, nil
	}
	if err := l.scan.Err(); err != nil {
		return LogEvent{}, fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return LogEvent{}, io.EOF
}

// Close ends the log.
func (l *Log) Close() error { return l.body.Close() }

// log opens a log.
func (c *Client) log(ctx context.Context, after int64, follow bool, path ...string) (*Log, error) {
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "follow": {strconv.FormatBool(follow)}}
	resp, err := c.endless(ctx, withQuery(path, q)...)
	if err != nil {
		return nil, err
	}
	scan := bufio.NewScanner(resp.Body)
	scan.Buffer(nil, maxLogLine)
	return &Log{body: resp.Body, scan: scan}, nil
}

// endless gets an answer that lasts as long as there is something to tell.
func (c *Client) endless(ctx context.Context, path ...string) (*http.Response, error) {
	req, err := c.request(ctx, http.MethodGet, nil, path...)
	if err != nil {
		return nil, err
	}
	endless := *c.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no answer from the coordinator: %w", err)
	}
	if err := c.refused(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// Follow calls show with each line of a log after a line until the job is over,
// and returns the job as it ended. What the job waits for before it begins is shown
// as lines of StageQueued. open opens the log after a line; it is
// called again when the connection breaks.
func Follow(ctx context.Context, open func(after int64) (*Log, error), show func(LogLine) error) (Job, error) {
	var last int64
	for failures := 0; ; {
		before := last
		job, err := followOnce(open, &last, show)
		var refused *Error
		var mine showError
		switch {
		case err == nil:
			return job, nil
		case errors.As(err, &mine):
			return job, mine.error
		case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError, ctx.Err() != nil:
			return job, err
		}
		if last > before {
			failures = 0
		}
		if failures++; failures > maxFollowFailures {
			return job, err
		}
		select {
		case <-ctx.Done():
			return job, ctx.Err()
		case <-time.After(followRetry):
		}
	}
}

const (
	// followRetry and maxFollowFailures let a coordinator restart meanwhile.
	followRetry       = time.Second
	maxFollowFailures = 60
)

// showError is an error of the caller's function, which ends following.
type showError struct{ error }

func (e showError) Unwrap() error { return e.error }

func followOnce(open func(after int64) (*Log, error), last *int64, show func(LogLine) error) (Job, error) {
	l, err := open(*last)
	if err != nil {
		return Job{}, err
	}
	defer l.Close()
	for {
		e, err := l.Next()
		switch {
		case errors.Is(err, io.EOF):
			return Job{}, ErrCutOff
		case err != nil:
			return Job{}, err
		case e.Job != nil:
			return *e.Job, nil
		case e.Waiting != nil:
			if err := show(e.Waiting.line()); err != nil {
				return Job{}, showError{err}
			}
		case e.Line != nil && e.Line.Seq > *last:
			*last = e.Line.Seq
			if err := show(*e.Line); err != nil {
				return Job{}, showError{err}
			}
		}
	}
}
