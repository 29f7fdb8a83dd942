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
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/connectrpc"
	"github.com/aditmesh/adit/coordinator/events"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
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

	// maxCalls bounds what a provisioner has under way: its stream, and a file
	// or a report for each of many jobs.
	maxCalls = 256
)

// Config configures a coordinator.
type Config struct {
	// PostgresURL is the database.
	PostgresURL string
	// AccessURL is where people and agents reach the coordinator; nil means by
	// whatever name they came.
	AccessURL *url.URL
	// StateKeys seal the states of workspaces.
	StateKeys *workspaces.Keyring
	// JobLease is how long a job may go without a heartbeat of its provisioner,
	// and CancelGrace how long Terraform may take to end once it is interrupted.
	// Zero means 30 s and 2 min.
	JobLease, CancelGrace time.Duration
	// AgentBinaries is the directory of what agents of other platforms download, named
	// adit-OS-ARCH; empty is none.
	AgentBinaries string
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
	cfg        Config
	store      *store.Store
	auth       *auth.Authenticator
	hub        *mesh.Hub
	workspaces *workspaces.Service
	events     *events.Bus
	closing    chan struct{} // closed when Run ends
	// One for each role: what a role may call is decided where it comes in.
	nodeRPC, provisionerRPC *rpc.Server
	web                     *http.Server
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
	if cfg.StateKeys == nil {
		return nil, errors.New("coordinator: states cannot be kept without a key")
	}
	st, err := store.Open(ctx, cfg.PostgresURL, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	authn := auth.New(st)
	s := &Server{cfg: cfg, store: st, auth: authn, closing: make(chan struct{}), events: events.New(st, cfg.Logger)}
	s.hub = mesh.New(mesh.Config{Store: st, Relays: cfg.Relays, NodeTimeout: cfg.NodeTimeout, Logger: cfg.Logger})
	s.workspaces = workspaces.New(workspaces.Config{
		Store: st, Keys: cfg.StateKeys, AccessURL: cfg.AccessURL, AgentsGone: s.hub.AgentsDeleted,
		Lease: cfg.JobLease, CancelGrace: cfg.CancelGrace, Logger: cfg.Logger,
	})
	conf := rpc.ServerConfig{Refuse: api.Refuse(cfg.Logger), Ping: cfg.NodePing, Timeout: cfg.NodeTimeout - cfg.NodePing}
	conf.Authenticate = only(authn, auth.User, auth.Agent)
	s.nodeRPC = rpc.NewServer(conf, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, s.hub) })
	conf.Authenticate = only(authn, auth.Provisioner)
	conf.MaxMessage, conf.MaxStreams = rpc.MaxJobMessage, maxCalls
	s.provisionerRPC = rpc.NewServer(conf, func(r grpc.ServiceRegistrar) { provisionerv1.RegisterProvisionerServer(r, s.workspaces) })

	web := api.New(api.Config{
		Store: st, Auth: authn, Mesh: s.hub, Workspaces: s.workspaces, Events: s.events, Programs: cfg.AgentBinaries, Closing: s.closing, AccessURL: cfg.AccessURL, Version: cfg.Version, Logger: cfg.Logger,
	})
	mux := http.NewServeMux()
	for pattern, h := range cfg.Mounts {
		mux.Handle(pattern, h)
	}
	mux.Handle("/rpc/v1/node", s.nodeRPC)
	mux.Handle("/rpc/v1/provisioner", s.provisionerRPC)
	for _, p := range []string{"/api/", "/healthz", "/readyz"} {
		mux.Handle(p, web)
	}
	for path, h := range connectrpc.Handlers(web) {
		mux.Handle(path, h)
	}
	mux.HandleFunc("GET /{$}", s.front)
	s.web = &http.Server{
		Handler: mux, Protocols: protocols(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug), // what strangers send is no event
	}
	return s, nil
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

// only authenticates those of some kinds.
func only(authn *auth.Authenticator, kinds ...auth.Kind) func(context.Context, string) (any, error) {
	return func(ctx context.Context, token string) (any, error) {
		who, err := authn.Authenticate(ctx, token)
		if err == nil && !slices.Contains(kinds, who.Kind) {
			err = auth.ErrUnauthenticated
		}
		return who, err
	}
}

// ProvisionerToken returns the token of the provisioners of this process. It
// is good for as long as the process lives.
func (s *Server) ProvisionerToken() string { return s.auth.BuiltInToken() }

// ResealStates seals all states with the first of the keys.
func (s *Server) ResealStates(ctx context.Context) (int, error) { return s.workspaces.Reseal(ctx) }

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
	hub.Go(func() { s.workspaces.Run(hubCtx) })
	hub.Go(func() { s.events.Run(hubCtx) })

	served := make(chan error, 1)
	go func() { served <- s.web.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	// Nodes, provisioners and those who follow logs come back, to whoever is
	// there next.
	close(s.closing)
	s.nodeRPC.Close()
	s.provisionerRPC.Close()
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
