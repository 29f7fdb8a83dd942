package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// lookEvery is how often a followed log is looked at when nothing was
	// announced: what another replica writes is not.
	lookEvery = 2 * time.Second

	// aliveEvery is how often a followed log that has nothing to say sends an
	// empty line, which keeps proxies from giving up on it.
	aliveEvery = 15 * time.Second

	// writeTimeout bounds how long one who follows may be without reading.
	writeTimeout = 30 * time.Second
)

// Logs is what the API asks of jobs and of what is written down of them.
type Logs interface {
	Job(ctx context.Context, id uuid.UUID) (sdk.Job, error)
	// CancelJob asks for the end of a job; a [Refusal] if it is over.
	CancelJob(ctx context.Context, id uuid.UUID, force bool) error
	// LogLines returns some of the lines of a job, or of an agent's scripts,
	// that come after one; none when there are no more as yet.
	LogLines(ctx context.Context, of uuid.UUID, after int64) ([]sdk.LogLine, error)
	// LogNews announces that there is more of a log, or that its job is over.
	// The caller calls stop.
	LogNews(of uuid.UUID) (news <-chan struct{}, stop func())
}

// logQuery is what part of a log is wanted.
type logQuery struct {
	After  int64 `query:"after" minimum:"0" doc:"The last line that is known; what follows it is sent"`
	Follow bool  `query:"follow" doc:"Send what is to come, and the job when it is over"`
}

// jobLog answers with a job's log.
func (a *API) jobLog(job sdk.Job, q logQuery) (*huma.StreamResponse, error) {
	id, err := uuid.Parse(job.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	return a.stream(id, q, func(ctx context.Context) (*sdk.Job, error) {
		j, err := a.Workspaces.Job(ctx, id)
		if err != nil || !j.Done() {
			return nil, err
		}
		return &j, nil
	}), nil
}

// cancel asks for the end of a job.
func (a *API) cancel(ctx context.Context, job sdk.Job, force bool) error {
	id, err := uuid.Parse(job.ID)
	if err == nil {
		err = a.Workspaces.CancelJob(ctx, id, force)
	}
	if err != nil {
		return a.problem(err)
	}
	return nil
}

// stream answers with a log, an event a line. Over returns the job once it is
// over; a log without a job never is.
func (a *API) stream(of uuid.UUID, q logQuery, over func(context.Context) (*sdk.Job, error)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "application/x-ndjson")
		h.SetHeader("X-Accel-Buffering", "no")
		ctx, cancel := context.WithCancel(h.Context())
		defer cancel()
		w := newEventWriter(h)
		if err := a.writeLog(ctx, w, of, q, over); err != nil && ctx.Err() == nil && w.err == nil {
			// What was sent stands; the client sees it cut off and asks again.
			a.Logger.Warn("a log could not be sent to its end", "of", of, "err", err)
		}
	}}
}

func (a *API) writeLog(ctx context.Context, w *eventWriter, of uuid.UUID, q logQuery, over func(context.Context) (*sdk.Job, error)) error {
	news, stop := a.Workspaces.LogNews(of)
	defer stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for last := q.After; ; {
		// Asked before the lines: those written before a job's end are there
		// when the job is over.
		job, err := over(ctx)
		if err != nil {
			return err
		}
		if last, err = a.writeLines(ctx, w, of, last); err != nil {
			return err
		}
		if job != nil {
			w.write(sdk.LogEvent{Job: job})
		}
		if job != nil || !q.Follow {
			return w.flush()
		}
		if err := w.flush(); err != nil {
			return err
		}
		select {
		case <-news:
		case <-look.C:
			w.alive()
		case <-a.Closing:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeLines writes all lines there are after one and returns the last.
func (a *API) writeLines(ctx context.Context, w *eventWriter, of uuid.UUID, last int64) (int64, error) {
	for {
		lines, err := a.Workspaces.LogLines(ctx, of, last)
		if err != nil || len(lines) == 0 {
			return last, err
		}
		for i := range lines {
			w.write(sdk.LogEvent{Line: &lines[i]})
			last = lines[i].Seq
		}
		if w.err != nil {
			return last, w.err
		}
	}
}

// eventWriter writes JSON lines to a client. Its first error sticks.
type eventWriter struct {
	out     *json.Encoder
	control *http.ResponseController
	spoke   time.Time
	blank   func() error
	err     error
}

func newEventWriter(h huma.Context) *eventWriter {
	body := h.BodyWriter()
	w := &eventWriter{out: json.NewEncoder(body), spoke: time.Now()}
	w.blank = func() error { _, err := body.Write([]byte("\n")); return err }
	if rw, ok := body.(http.ResponseWriter); ok {
		w.control = http.NewResponseController(rw)
	}
	return w
}

func (w *eventWriter) write(e sdk.LogEvent) {
	if w.err == nil {
		w.extend()
		w.err = w.out.Encode(e)
		w.spoke = time.Now()
	}
}

// alive sends a sign of life when there was none for a while.
func (w *eventWriter) alive() {
	if w.err == nil && time.Since(w.spoke) >= aliveEvery {
		w.extend()
		w.err = w.blank()
		w.spoke = time.Now()
	}
}

// extend gives the next write its time.
func (w *eventWriter) extend() {
	if w.control != nil {
		// A writer that knows no deadlines blocks until its connection ends.
		_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
}

func (w *eventWriter) flush() error {
	if w.err == nil && w.control != nil {
		w.err = w.control.Flush()
	}
	return w.err
}

// agentLog answers with the log of an agent's scripts, which ends with the
// agent and not before.
func (a *API) agentLog(agent store.Agent, q logQuery) *huma.StreamResponse {
	return a.stream(agent.ID, q, func(context.Context) (*sdk.Job, error) { return nil, nil })
}
