package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// aliveEvery is how often a followed log that has nothing to say sends an
	// empty line, which keeps proxies from giving up on it.
	aliveEvery = 15 * time.Second

	// writeTimeout bounds how long one who follows may go without reading.
	writeTimeout = 30 * time.Second
)

// LogQuery is what part of a log is wanted.
type LogQuery struct {
	After  int64 `query:"after" minimum:"0" doc:"The last line that is known; what follows it is sent"`
	Follow bool  `query:"follow" doc:"Send what is to come, and the job when it is over"`
}

// readLog and followLog are how the workspaces' service gives logs.
type (
	readLog   func(ctx context.Context, of uuid.UUID, after int64) ([]store.LogLine, error)
	followLog func(ctx context.Context, of uuid.UUID, after int64, f func([]store.LogLine) error) error
)

// jobLog answers with a job's log.
func (a *API) jobLog(j store.Job, q LogQuery) *huma.StreamResponse {
	return a.stream(logType, q.Follow, func(ctx context.Context, w *eventWriter) error {
		told := a.tellWait(ctx, w, j, q)
		err := copyLog(ctx, w, j.ID, q, a.Workspaces.Log, a.Workspaces.FollowLog)
		told()
		if err != nil || !q.Follow {
			return err
		}
		ended, err := a.Store.Job(ctx, j.ID)
		if err != nil {
			return err
		}
		out, err := jobJSON(ended)
		if err != nil {
			return err
		}
		return w.write(sdk.LogEvent{Job: &out})
	})
}

// tellWait tells who follows a job what that waits for, until the returned function
// is called.
func (a *API) tellWait(ctx context.Context, w *eventWriter, j store.Job, q LogQuery) (stop func()) {
	if !q.Follow || j.Status.Over() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Who follows and goes away is noticed by what sends the log.
		_ = a.Workspaces.FollowWait(ctx, j, func(wait workspaces.Wait) error {
			return w.write(sdk.LogEvent{Waiting: waitingJSON(wait)})
		})
	}()
	return func() {
		cancel()
		<-done
	}
}

// agentLog answers with the log of an agent's scripts, which ends with the
// agent and not before.
func (a *API) agentLog(agent store.Agent, q LogQuery) *huma.StreamResponse {
	return a.stream(logType, q.Follow, func(ctx context.Context, w *eventWriter) error {
		return copyLog(ctx, w, agent.ID, q, a.Workspaces.AgentLog, a.Workspaces.FollowAgentLog)
	})
}

// cancel asks for the end of a job.
func (a *API) cancel(ctx context.Context, j store.Job, force bool) error {
	if j.Status.Over() {
		return huma.Error409Conflict("it is over already: it has " + string(j.Status))
	}
	if err := a.Workspaces.CancelJob(ctx, j.ID, force); err != nil {
		return a.problem(err)
	}
	return nil
}

// copyLog writes what there is of a log and, if it is followed, what comes.
func copyLog(ctx context.Context, w *eventWriter, of uuid.UUID, q LogQuery, read readLog, follow followLog) error {
	if q.Follow {
		return follow(ctx, of, q.After, w.lines)
	}
	for after := q.After; ; {
		lines, err := read(ctx, of, after)
		if err != nil || len(lines) == 0 {
			return err
		}
		if err := w.lines(lines); err != nil {
			return err
		}
		after = lines[len(lines)-1].Seq
	}
}

// logType is a JSON object a line.
const logType = "application/x-ndjson"

// stream answers with what f writes, which with alive is kept alive while that
// is nothing. It ends with f, with the client, or when the coordinator does.
func (a *API) stream(contentType string, alive bool, f func(context.Context, *eventWriter) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", contentType)
		h.SetHeader("X-Accel-Buffering", "no") // nginx would gather it up
		ctx, cancel := context.WithCancel(h.Context())
		w := newEventWriter(h)
		var helpers sync.WaitGroup
		helpers.Go(func() {
			defer cancel()
			select {
			case <-a.Closing:
			case <-ctx.Done():
			}
		})
		if alive {
			helpers.Go(func() { w.keepAlive(ctx) })
		}
		err := f(ctx, w)
		if err != nil && ctx.Err() == nil && w.failed() == nil {
			// What was sent stands; the client sees that it was cut off.
			a.Logger.WarnContext(ctx, "a stream could not be sent to its end", "err", err)
		}
		cancel()
		helpers.Wait()
	}}
}

// eventWriter writes JSON lines, or server-sent events, to a client. Its first
// error sticks.
type eventWriter struct {
	control *http.ResponseController

	mu    sync.Mutex // guards what follows
	body  http.ResponseWriter
	out   *json.Encoder
	spoke time.Time
	sse   bool  // whether it writes server-sent events
	at    int64 // then, the version up to which there is nothing more to say
	err   error
}

func newEventWriter(h huma.Context) *eventWriter {
	body := h.BodyWriter().(http.ResponseWriter) // it is: the adapter is chi's
	w := &eventWriter{control: http.NewResponseController(body), body: body, out: json.NewEncoder(body), spoke: time.Now()}
	w.flush() // the headers: who follows knows that it is answered
	return w
}

// lines writes lines of a log.
func (w *eventWriter) lines(lines []store.LogLine) error {
	for _, l := range lines {
		e := sdk.LogEvent{Line: &sdk.LogLine{Seq: l.Seq, At: l.At, Stage: l.Stage, Level: l.Level, Text: l.Text}}
		if err := w.encode(e); err != nil {
			return err
		}
	}
	return w.flush()
}

func (w *eventWriter) write(e sdk.LogEvent) error {
	if err := w.encode(e); err != nil {
		return err
	}
	return w.flush()
}

// event writes a server-sent event, whose id is a version.
func (w *eventWriter) event(name string, version int64, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	w.mu.Lock()
	if w.err == nil {
		w.extend()
		w.sse, w.at = true, version
		_, w.err = fmt.Fprintf(w.body, "event: %s\nid: %d\ndata: %s\n\n", name, version, raw)
	}
	w.mu.Unlock()
	return w.flush()
}

// seen notes that up to a version nothing more is to be said: who comes back
// later need not start from what they were told last.
func (w *eventWriter) seen(version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = version
}

func (w *eventWriter) encode(e sdk.LogEvent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.extend()
		w.err = w.out.Encode(e)
	}
	return w.err
}

func (w *eventWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.extend()
		w.err = w.control.Flush()
	}
	return w.err
}

// extend gives the next write its time. w.mu is held.
func (w *eventWriter) extend() {
	w.spoke = time.Now()
	// A connection that knows no deadlines blocks until it ends.
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
}

func (w *eventWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// keepAlive sends a sign of life when nothing else was for a while.
func (w *eventWriter) keepAlive(ctx context.Context) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.blank() != nil || w.flush() != nil {
			return
		}
	}
}

func (w *eventWriter) blank() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && time.Since(w.spoke) >= aliveEvery {
		w.extend()
		sign := "\n"
		if w.sse {
			sign = fmt.Sprintf(": here\nid: %d\n\n", w.at)
		}
		_, w.err = io.WriteString(w.body, sign)
	}
	return w.err
}
