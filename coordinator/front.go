package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/metrics"
	"github.com/aditmesh/adit/coordinator/request"
)

// maxListeners is how many a front answers.
const maxListeners = 2

// Front answers a listener from before there is a coordinator, while the database
// starts and its schema is brought up to date, until after it drains. It is alive
// all that time (/healthz), and says in /readyz why it is not ready. Hand it to
// [Server.RunBehind], or Close it.
type Front struct {
	web    *http.Server
	served chan error
	stage  atomic.Pointer[string]       // what it is at instead of being ready; nil if it is
	behind atomic.Pointer[http.Handler] // nil before there is a coordinator
}

// NewFront begins to answer l. Metrics may be nil.
func NewFront(l net.Listener, m *metrics.Metrics, log *slog.Logger) *Front {
	f := &Front{served: make(chan error, maxListeners)}
	f.At("starting")
	var begun func()
	var done func(request.Seen)
	if m != nil {
		begun, done = m.Begun, m.Observe
	}
	f.web = &http.Server{
		Handler:           request.Handler(http.HandlerFunc(f.serve), log, begun, done),
		Protocols:         protocols(),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what strangers send is no event
	}
	go func() { f.served <- f.web.Serve(l) }() // ends with Close
	return f
}

// Also answers another listener. At most one.
func (f *Front) Also(l net.Listener) {
	go func() { f.served <- f.web.Serve(l) }() // ends with Close
}

// At says what the server is at instead of being ready.
func (f *Front) At(stage string) { f.stage.Store(&stage) }

// open lets requests through to h.
func (f *Front) open(h http.Handler) {
	f.behind.Store(&h)
	f.stage.Store(nil)
}

func (f *Front) serve(w http.ResponseWriter, r *http.Request) {
	stage, behind := f.stage.Load(), f.behind.Load()
	switch {
	case r.URL.Path == "/healthz":
		request.SetRoute(r.Context(), "/healthz")
		_, _ = io.WriteString(w, "ok\n") // the connection is gone if this fails
	case r.URL.Path == "/readyz" && stage != nil:
		request.SetRoute(r.Context(), "/readyz")
		http.Error(w, "not ready: "+*stage, http.StatusServiceUnavailable)
	case behind == nil:
		at := "starting"
		if stage != nil {
			at = *stage
		}
		api.Unavailable(w, "the coordinator is not ready: "+at+"; try again in a moment")
	default:
		(*behind).ServeHTTP(w, r)
	}
}

// shutdown takes no more connections, and waits for the requests under way.
func (f *Front) shutdown(ctx context.Context) error {
	if err := f.web.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests under way were cut off: %w", err), f.web.Close())
	}
	return nil
}

// Close ends a front that no coordinator came to.
func (f *Front) Close() error { return f.web.Close() }

// Run serves l until ctx is done or serving fails, and then comes to an end as
// RunBehind does.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	return s.RunBehind(ctx, NewFront(l, s.metrics, s.cfg.Logger), func() {})
}

// RunBehind serves what comes to the front until ctx is done or serving fails, and
// calls ready once it does.
// Then, in this order: /readyz says that it drains, for as long as DrainDelay; no
// more connections are taken, and those who follow something, browsers in workspaces,
// nodes and provisioners are told to come back; requests and calls under way end, or are
// cut off after 10 s; what is left to write is written; the store is closed.
func (s *Server) RunBehind(ctx context.Context, f *Front, ready func()) error {
	hubCtx, stopHub := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHub()
	loops := s.startLoops(hubCtx)
	f.open(s.handler)
	ready()

	var err error
	select {
	case <-ctx.Done():
		f.At("draining: the server is shutting down")
		select {
		case <-time.After(s.cfg.DrainDelay):
		case err = <-f.served:
		}
	case err = <-f.served:
	}
	s.cfg.Logger.Info("shutting down")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	shut := make(chan error, 1)
	go func() { shut <- f.shutdown(drain) }()
	close(s.closing)
	s.proxy.Close()
	s.hub.Drain()
	s.relays.Drain()
	s.workspaces.Drain()
	s.nodeRPC.Drain(drain)
	s.provisionerRPC.Drain(drain)
	s.relayRPC.Drain(drain)
	err = errors.Join(err, <-shut)
	stopHub()
	loops.Wait()
	s.store.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("coordinator: serve: %w", err)
	}
	return nil
}

// protocols are what is spoken without TLS: gRPC needs HTTP/2 from the start. With
// TLS it is what the listener offers, and WebSockets need HTTP/1.1 there.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}
