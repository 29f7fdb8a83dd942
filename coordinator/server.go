// Package coordinator is the control plane of one deployment: the HTTP API,
// the control streams of the mesh, and the store behind both.
//
// [Open] connects to Postgres and puts the parts together; [Server.Run] serves
// a listener until its context ends. A relay in the same process is another
// room's: its handler and its map arrive in [Config].
package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// headerTimeout bounds how long a client may take to say what it wants.
	headerTimeout = 10 * time.Second

	// idleTimeout ends kept-alive connections that nobody uses.
	idleTimeout = 2 * time.Minute

	// maxHeader bounds a request's headers.
	maxHeader = 32 << 10

	// drainTimeout is how long requests under way may take at shutdown.
	drainTimeout = 5 * time.Second
)

// Config configures a coordinator.
type Config struct {
	// PostgresURL is the database.
	PostgresURL string
	// AccessURL is where people and agents reach the coordinator; nil means by
	// whatever name they came.
	AccessURL *url.URL
	// Relays is the relay map that nodes get.
	Relays *meshv1.Relays
	// Mounts are handlers of other rooms, by pattern of http.ServeMux.
	Mounts map[string]http.Handler
	// NodePing is how often a silent control stream is pinged, and NodeTimeout
	// how long a node may be silent before it counts as lost. Zero means 15 s
	// and 30 s.
	NodePing, NodeTimeout time.Duration
	Version               string
	Logger                *slog.Logger
}

const (
	defaultNodePing    = 15 * time.Second
	defaultNodeTimeout = 30 * time.Second
)

// Server is a coordinator.
type Server struct {
	cfg   Config
	store *store.Store
	hub   *mesh.Hub
	rpc   *rpc.Server
	web   *http.Server
}

// Open connects to the database, brings its schema up to date and puts the
// coordinator together. It serves nothing before Run.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.NodePing == 0 {
		cfg.NodePing = defaultNodePing
	}
	if cfg.NodeTimeout == 0 {
		cfg.NodeTimeout = defaultNodeTimeout
	}
	if cfg.NodePing >= cfg.NodeTimeout {
		return nil, fmt.Errorf("coordinator: node ping of %v must be shorter than the node timeout of %v", cfg.NodePing, cfg.NodeTimeout)
	}
	st, err := store.Open(ctx, cfg.PostgresURL, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	s := &Server{cfg: cfg, store: st}
	authn := auth.New(st)
	s.hub = mesh.New(mesh.Config{Store: st, Relays: cfg.Relays, NodeTimeout: cfg.NodeTimeout, Logger: cfg.Logger})
	s.rpc = rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(ctx context.Context, token string) (any, error) { return authn.Authenticate(ctx, token) },
		Refuse:       api.Refuse(cfg.Logger),
		Ping:         cfg.NodePing,
		Timeout:      cfg.NodeTimeout - cfg.NodePing,
	}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, s.hub) })

	web := api.New(api.Config{
		Store: st, Auth: authn, Mesh: s.hub, AccessURL: cfg.AccessURL, Version: cfg.Version, Logger: cfg.Logger,
	})
	mux := http.NewServeMux()
	for pattern, h := range cfg.Mounts {
		mux.Handle(pattern, h)
	}
	mux.Handle("/rpc/v1/node", s.rpc)
	for _, p := range []string{"/api/", "/healthz", "/readyz"} {
		mux.Handle(p, web)
	}
	mux.HandleFunc("GET /{$}", s.front)
	s.web = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug), // what strangers send is no event
	}
	return s, nil
}

func (s *Server) front(w http.ResponseWriter, _ *http.Request) {
	// The connection is gone if this fails.
	_, _ = io.WriteString(w, "This is an adit coordinator, version "+s.cfg.Version+".\nSign in from a terminal: adit login URL\n")
}

// Vouches reports whether a WireGuard key belongs to a node of the mesh: what
// a relay asks before it admits one.
func (s *Server) Vouches(ctx context.Context, key [32]byte) (bool, error) {
	return s.hub.Vouches(ctx, key)
}

// Run serves l until ctx is done or serving fails, then ends every stream,
// writes what is left to write, and closes the store.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	hubCtx, stopHub := context.WithCancel(context.WithoutCancel(ctx))
	var hub sync.WaitGroup
	hub.Go(func() { s.hub.Run(hubCtx) })

	served := make(chan error, 1)
	go func() { served <- s.web.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	s.rpc.Close() // nodes reconnect, to whoever is there next
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if shutErr := s.web.Shutdown(drain); shutErr != nil {
		err = errors.Join(err, shutErr, s.web.Close())
	}
	stopHub()
	hub.Wait()
	s.store.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("coordinator: serve: %w", err)
	}
	return nil
}
