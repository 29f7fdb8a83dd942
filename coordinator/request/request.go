// Package request gives each HTTP request an id, and with it a thread through
// what is said of it: the answer's X-Request-Id header, its problem if it has
// one, each line of the log, and what metrics count. Who is turned away for now
// is told when to ask again, whatever turned them away.
//
// [Handler] goes around everything that a server answers, and [LogHandler] around
// the handler of its logger; lines have the id if they are logged with the
// request's context. Routers say with [SetRoute] which pattern a request matched,
// so that metrics have one series a route and not one a path.
package request

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/foreign"
)

// Header carries a request's id, both ways.
const Header = "X-Request-Id"

const (
	// maxID bounds an id that came with a request: those of proxies have up to
	// 64 characters. Longer ones, and others than letters, digits and a few signs,
	// are replaced: the id goes into headers, logs and searches.
	maxID = 64

	// maxPath bounds a path in the log, and maxAgent a client's name for itself.
	maxPath, maxAgent = 200, 80

	// retryAfter, in seconds, is when those may ask again who are turned away for now,
	// unless whoever turned them away knew better: what is away for a moment is mostly
	// a database that restarts.
	retryAfter = "2"

	// maxProblem bounds what is held back of an answer to put the id in.
	maxProblem = 64 << 10
)

// Seen is what became of a request.
type Seen struct {
	Method, Route string // of a few, whatever was asked for
	Status        int
	Bytes         int64
	Took          time.Duration
	// Long is that it was meant to go on: a stream, or an upgrade.
	Long bool
}

// state travels in the request's context.
type state struct {
	id, route string
	long      bool
}

type key struct{}

func of(ctx context.Context) *state {
	s, _ := ctx.Value(key{}).(*state)
	return s
}

// ID returns the id of the request that ctx belongs to; "" if to none.
func ID(ctx context.Context) string {
	if s := of(ctx); s != nil {
		return s.id
	}
	return ""
}

// WithID returns a context of what belongs to a request that is over: the stream
// that it became.
func WithID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, key{}, &state{id: id})
}

// SetRoute says which pattern the request matched. Only the goroutine that
// serves the request may call it.
func SetRoute(ctx context.Context, pattern string) {
	if s := of(ctx); s != nil && pattern != "" {
		s.route = pattern
	}
}

// Long says that the answer goes on for long, so that how long it took says
// nothing. Only the goroutine that serves the request may call it.
func Long(ctx context.Context) {
	if s := of(ctx); s != nil {
		s.long = true
	}
}

// Handler gives the requests of next an id, logs them at debug, and calls done,
// if it is not nil, when they are over. begun, if it is not nil, is called before.
func Handler(next http.Handler, log *slog.Logger, begun func(), done func(Seen)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s := &state{id: sane(r.Header.Get(Header))}
		ctx := context.WithValue(r.Context(), key{}, s)
		r = r.WithContext(ctx)
		w.Header().Set(Header, s.id)
		out := &writer{ResponseWriter: w, id: s.id}
		if begun != nil {
			begun()
		}
		defer func() {
			out.finish()
			if s.route == "" {
				s.route = r.Pattern // ServeMux's
			}
			seen := Seen{
				Method: method(r.Method), Route: s.route, Status: out.status, Bytes: out.bytes,
				Took: time.Since(began), Long: s.long || out.hijacked,
			}
			if done != nil {
				done(seen)
			}
			if log.Enabled(ctx, slog.LevelDebug) {
				log.DebugContext(ctx, "request", "method", seen.Method, "path", foreign.Clip(r.URL.Path, maxPath), "route", seen.Route,
					"status", seen.Status, "bytes", seen.Bytes, "took", seen.Took, "from", r.RemoteAddr, "agent", foreign.Clip(r.UserAgent(), maxAgent))
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// sane returns an id that came, if it can be one, or a new one.
func sane(id string) string {
	if id == "" || len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	}) {
		return rand.Text()
	}
	return id
}

// method returns one of a few names.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// writer sees what is answered. It holds a problem back to put the id in.
type writer struct {
	http.ResponseWriter
	id       string
	status   int
	bytes    int64
	problem  *bytes.Buffer // nil unless one is being written
	hijacked bool
}

func (w *writer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status) // more will follow
		return
	}
	if w.status != 0 {
		return
	}
	w.status = status
	if (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	if status >= 400 && strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json") {
		w.problem = new(bytes.Buffer)
		w.Header().Del("Content-Length")
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.problem != nil {
		if w.problem.Len()+len(b) <= maxProblem {
			return w.problem.Write(b)
		}
		w.release(w.problem.Bytes())
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// release writes what was held back, as body says.
func (w *writer) release(body []byte) {
	w.problem = nil
	w.ResponseWriter.WriteHeader(w.status)
	n, _ := w.ResponseWriter.Write(body) // the connection is gone if this fails
	w.bytes += int64(n)
}

// finish ends the answer.
func (w *writer) finish() {
	if w.problem == nil {
		return
	}
	body := w.problem.Bytes()
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) == nil && object["request_id"] == nil && len(object) > 0 {
		id, _ := json.Marshal(w.id) // a string always can be
		end := bytes.LastIndexByte(body, '}')
		body = append(body[:end:end], `,"request_id":`+string(id)+"}\n"...)
	}
	w.release(body)
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what was written, unless that is a problem. It begins an answer that has
// not begun.
func (w *writer) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.problem == nil {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // one that cannot be flushed need not
	}
}

// Hijack takes the connection over.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.hijacked = true
		if w.status == 0 {
			w.status = http.StatusSwitchingProtocols
		}
	}
	return conn, rw, err
}

// LogHandler adds the request's id to lines that are logged with its context.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := ID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
