package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"
)

// privateHeader bounds how long who asks on a private port may take to say what.
const privateHeader = 5 * time.Second

// privatePort is a port that strangers must not reach: metrics, or profiles.
type privatePort struct {
	flag, addr string
	handler    http.Handler
}

// debugHandler serves Go's profiles.
func debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// metricsHandler serves metrics at the one path where they are looked for.
func metricsHandler(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return mux
}

// open serves the port until stop. Without an address there is none.
func (p privatePort) open(ctx context.Context, log *slog.Logger) (stop func(), err error) {
	if p.addr == "" {
		return func() {}, nil
	}
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return nil, usagef("%s %q: want HOST:PORT, or :PORT for this machine alone", p.flag, p.addr)
	}
	if host == "" { // everywhere is for those who say so: 0.0.0.0
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is taken by another program; stop it, or choose another with %s", p.addr, p.flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", p.flag, p.addr, err)
	}
	web := &http.Server{
		Handler: p.handler, ReadHeaderTimeout: privateHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("a private port ended", "flag", p.flag, "err", err)
		}
	}()
	log.Info("private port", "flag", p.flag, "addr", l.Addr().String())
	return func() {
		_ = web.Close() // what is being read may be cut off
		<-done
	}, nil
}
