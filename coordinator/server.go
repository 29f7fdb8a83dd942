// Package coordinator is the control plane of one deployment: the HTTP API,
// the control streams of the mesh, and the store behind both.
//
// [Open] connects to Postgres and puts the parts together; [Server.Run] serves
// a listener until its context ends. A relay in the same process is another
// room's: its handler and its map arrive in [Config].
package coordinator

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/connectrpc"
	"github.com/aditmesh/adit/coordinator/dashboard"
	"github.com/aditmesh/adit/coordinator/events"
	"github.com/aditmesh/adit/coordinator/health"
	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/metrics"
	"github.com/aditmesh/adit/coordinator/proxy"
	"github.com/aditmesh/adit/coordinator/relays"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/support"
	"github.com/aditmesh/adit/coordinator/workspaces"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// headerTimeout bounds how long a client may take to say what it wants.
	headerTimeout = 10 * time.Second

	// idleTimeout ends kept-alive connections that nobody uses.
	idleTimeout = 2 * time.Minute

	// maxHeader bounds a request's headers.
	maxHeader = 32 << 10

	// drainTimeout is how long requests and calls under way may take at shutdown.
	drainTimeout = 10 * time.Second

	// maxSTUN is how many servers an agent asks for its own address.
	maxSTUN = 4

	// maxCalls bounds what a provisioner has under way: its stream, and a file
	// or a report for each of many jobs; and a relay: a question for each of the
	// nodes that come at the same moment.
	maxCalls = 256
)

// Config configures a coordinator.
type Config struct {
	// PostgresURL is the database.
	PostgresURL string
	// AccessURL is where people and agents reach the coordinator; nil means by
	// whatever name they came.
	AccessURL *url.URL
	// StateKeys seal the states of workspaces, and what webhooks sign with.
	StateKeys *seal.Keys
	// JobLease is how long a job may go without a heartbeat of its provisioner,
	// and CancelGrace how long Terraform may take to end once it is interrupted.
	// Zero means 30 s and 2 min.
	JobLease, CancelGrace time.Duration
	// ScheduleClock says what time it is for the starts and stops that nobody asks for,
	// given the database's; nil is that.
	ScheduleClock func(now time.Time) time.Time
	// AgentBinaries is the directory of what agents of other platforms download, named
	// adit-OS-ARCH; empty is none.
	AgentBinaries string
	// Apps is the domain below which apps and ports of workspaces have their names, and
	// Main where browsers that come to one find the dashboard. Without a domain, which
	// is nil, they have none.
	Apps *proxy.Domain
	Main *url.URL
	// Identity is whose proofs of an instance's identity are accepted; zero is the
	// clouds' own.
	Identity identity.Config
	// Breakers are those of calls that may hang; nil makes them.
	Breakers *breaker.Registry
	// Providers are the ways to sign in beside passwords, MaxTokenLifetime how long
	// tokens may last (zero is for ever), and TrustedProxies the networks whose
	// word on where a request comes from is taken.
	Providers        []auth.Provider
	MaxTokenLifetime time.Duration
	TrustedProxies   []string
	// WebhookPrivate lets webhooks go to private and loopback addresses, and templates
	// follow repositories there.
	WebhookPrivate bool
	// Relays are those that are always in the map that nodes get; others join.
	Relays *meshv1.Relays
	// TURNSecret signs credentials of the TURN of the relay that is where the coordinator
	// is; empty is that it has none.
	TURNSecret string
	// ProbeRelay asks a relay, which is at u, for what nodes ask of it, with a key that
	// is ProbeKey in public. Nil asks for less.
	ProbeRelay func(ctx context.Context, u *url.URL, r *meshv1.Relay) health.RelayProbe
	ProbeKey   [32]byte
	// Mounts are handlers of other rooms, by pattern of http.ServeMux.
	Mounts map[string]http.Handler
	// NodePing is how often a silent control stream is pinged, and NodeTimeout
	// how long a node may be silent before it counts as lost. Zero means 15 s
	// and 30 s.
	NodePing, NodeTimeout time.Duration
	// DrainDelay is how long the server says that it is not ready before it takes
	// no more connections: what a load balancer needs to notice. Zero is not.
	DrainDelay time.Duration
	// DataDir is the directory whose disk must not fill; empty is none. Certificate
	// returns the one that is served now; nil is none.
	DataDir     string
	Certificate func() *x509.Certificate
	// Metrics get what there is to count. Nil keeps them to itself.
	Metrics *metrics.Metrics
	// Support has what is not the coordinator's own of what helps: settings, the
	// last lines of the log, and which secrets are to be taken out.
	Support support.Sources
	Version string
	Logger  *slog.Logger
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
	relays     *relays.Registry
	workspaces *workspaces.Service
	events     *events.Bus
	api        *api.API
	metrics    *metrics.Metrics
	breakers   *breaker.Registry
	proxy      *proxy.Proxy
	checker    *health.Checker
	webhooks   *events.Deliverer
	closing    chan struct{} // closed when Run ends
	// One for each role: what a role may call is decided where it comes in.
	nodeRPC, provisionerRPC, relayRPC *rpc.Server
	handler                           http.Handler
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
	if cfg.Breakers == nil {
		cfg.Breakers = breaker.NewRegistry(cfg.Logger)
	}
	if cfg.Identity.Transport == nil {
		cfg.Identity.Transport = cfg.Breakers.Transport(breaker.Cloud, http.DefaultTransport)
	}
	clouds, err := identity.New(cfg.Identity)
	if err != nil {
		st.Close()
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	if _, err := events.Reseal(ctx, st, cfg.StateKeys); err != nil {
		cfg.Logger.ErrorContext(ctx, "secrets of webhooks stay as they are", "err", err)
	}
	authn := auth.New(st)
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New(cfg.Version)
	}
	s := &Server{
		cfg: cfg, store: st, auth: authn, metrics: cfg.Metrics, breakers: cfg.Breakers, closing: make(chan struct{}),
		events: events.New(st, cfg.Logger),
	}
	s.hub = mesh.New(mesh.Config{Store: st, Relays: cfg.Relays, NodeTimeout: cfg.NodeTimeout, Logger: cfg.Logger})
	s.relays = relays.New(relays.Config{Store: st, Static: cfg.Relays, TURNSecret: cfg.TURNSecret, Vouch: s.Vouches, Publish: s.hub.SetRelays, Logger: cfg.Logger})
	if err := errors.Join(s.relays.Restore(ctx), s.loadPolicy(ctx)); err != nil {
		st.Close()
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	s.workspaces = workspaces.New(workspaces.Config{
		Store: st, Keys: cfg.StateKeys, AccessURL: cfg.AccessURL, AgentsGone: s.hub.AgentsDeleted,
		JobOver: s.metrics.JobOver, Lease: cfg.JobLease, CancelGrace: cfg.CancelGrace, ScheduleClock: cfg.ScheduleClock, Version: cfg.Version,
		PrivateRepositories: cfg.WebhookPrivate, Logger: cfg.Logger,
	})
	s.webhooks = events.NewDeliverer(events.DelivererConfig{
		Store: st, Bus: s.events, Keys: cfg.StateKeys, AllowPrivate: cfg.WebhookPrivate, Version: cfg.Version, Logger: cfg.Logger,
		Guard: func(host string, call func() error) error {
			return s.breakers.Breaker(breaker.Webhook, host).Do(ctx, func(context.Context) error { return call() })
		},
	})
	conf := rpc.ServerConfig{
		Refuse: api.Refuse(cfg.Logger), RemoteAddr: api.RemoteAddr, Context: acting, Ping: cfg.NodePing, Timeout: cfg.NodeTimeout - cfg.NodePing,
	}
	conf.Authenticate = only(authn, auth.User, auth.Agent, auth.Client, auth.Proxy)
	s.nodeRPC = rpc.NewServer(conf, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, s.hub) })
	conf.Authenticate = only(authn, auth.Provisioner)
	conf.MaxMessage, conf.MaxStreams = rpc.MaxJobMessage, maxCalls
	s.provisionerRPC = rpc.NewServer(conf, func(r grpc.ServiceRegistrar) { provisionerv1.RegisterProvisionerServer(r, s.workspaces) })
	conf = rpc.ServerConfig{Refuse: conf.Refuse, Authenticate: only(authn, auth.Relay), Ping: relays.Ping, Timeout: relays.PingTimeout, MaxStreams: maxCalls}
	s.relayRPC = rpc.NewServer(conf, func(r grpc.ServiceRegistrar) { relayv1.RegisterRelayServer(r, s.relays) })

	s.checker = health.New(health.Config{
		Store: st, Breakers: s.breakers, AccessURL: cfg.AccessURL, Relays: s.relays.Map, ProbeRelay: cfg.ProbeRelay, DataDir: cfg.DataDir, Certificate: cfg.Certificate, Logger: cfg.Logger,
	})
	helps := cfg.Support
	helps.Version, helps.Metrics, helps.Health = cfg.Version, s.metrics.Text, s.checker.Check
	s.api = api.New(api.Config{
		Health: s.checker.Check, Support: helps.Files,
		Store: st, Auth: authn, Mesh: s.hub, Relays: s.relays, Workspaces: s.workspaces, Events: s.events, Keys: cfg.StateKeys, WebhookPrivate: cfg.WebhookPrivate, Identity: clouds, Programs: cfg.AgentBinaries, Closing: s.closing, AccessURL: cfg.AccessURL, AppURL: appURL(cfg.Apps), Version: cfg.Version, Logger: cfg.Logger,
		Providers: cfg.Providers, MaxTokenLifetime: cfg.MaxTokenLifetime, TrustedProxies: cfg.TrustedProxies,
	})
	mux := http.NewServeMux()
	for pattern, h := range cfg.Mounts {
		mux.Handle(pattern, h)
	}
	address := api.ClientAddr(cfg.TrustedProxies)
	mux.Handle("/rpc/v1/node", address(s.nodeRPC))
	mux.Handle("/rpc/v1/provisioner", address(s.provisionerRPC))
	mux.Handle("/rpc/v1/relay", address(s.relayRPC))
	for _, p := range []string{"/api/", "/signin", "/signin/", "/healthz", "/readyz"} {
		mux.Handle(p, s.api)
	}
	mux.Handle("GET "+health.EchoPath, health.Echo())
	for path, h := range connectrpc.Handlers(s.api) {
		mux.Handle(path, h)
	}
	s.proxy = s.newProxy()
	mux.Handle(proxy.TerminalPattern, address(http.HandlerFunc(s.proxy.ServeTerminal)))
	mux.Handle(proxy.PeerPattern, address(http.HandlerFunc(s.proxy.ServePeer)))
	for _, method := range []string{"GET ", "PUT "} {
		mux.Handle(method+proxy.FilesPattern, address(http.HandlerFunc(s.proxy.ServeFiles)))
	}
	mux.Handle(proxy.PreviewPattern, address(http.HandlerFunc(s.proxy.ServePreview)))
	if cfg.Apps != nil {
		mux.Handle("GET "+proxy.OpenPath, address(http.HandlerFunc(s.proxy.ServeOpen)))
		mux.HandleFunc("GET "+proxy.StylePath, proxy.ServeStyle)
	}
	pages := dashboard.New()
	for _, pattern := range pages.Patterns() {
		mux.Handle(pattern, pages)
	}
	s.handler = s.appsOr(mux, address(http.HandlerFunc(s.proxy.ServeApp)))
	s.metrics.Watch(metrics.Sources{Store: st, Mesh: s.hub.Counts, Breakers: s.breakers, Provisioners: s.workspaces.Connected, Pools: s.workspaces.PoolCounts})
	return s, nil
}

// appURL is where apps and ports are found below a domain.
func appURL(apps *proxy.Domain) func(what, agent, workspace, owner string) string {
	return func(what, agent, workspace, owner string) string {
		return apps.URL(proxy.Address{What: what, Agent: agent, Workspace: workspace, Owner: owner})
	}
}

// appsOr serves apps where a request's host is one's name, and else the coordinator.
func (s *Server) appsOr(coordinator, apps http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.proxy.ServesApps(r) {
			apps.ServeHTTP(w, r)
			return
		}
		coordinator.ServeHTTP(w, r)
	})
}

// stun names the relays' STUN servers. One without a host is where the coordinator is.
func (s *Server) stun() []string {
	var urls []string
	for _, r := range s.relays.ICEServers() {
		urls = append(urls, "stun:"+r.At(""))
	}
	return urls[:min(len(urls), maxSTUN)]
}

// start starts a workspace for somebody who may.
func (s *Server) start(ctx context.Context, who auth.Identity, workspace uuid.UUID) error {
	_, err := s.workspaces.Build(ctx, workspaces.Move{
		WorkspaceID: workspace, Transition: store.Start, InitiatorID: who.UserID, Reason: "its app was opened",
	})
	return err
}

// newProxy returns the way into workspaces by a browser. Its node comes to what other
// nodes come to, from this machine.
func (s *Server) newProxy() *proxy.Proxy {
	control := http.NewServeMux()
	for pattern, h := range s.cfg.Mounts {
		control.Handle(pattern, h)
	}
	control.Handle("/rpc/v1/node", api.ClientAddr(nil)(s.nodeRPC))
	return proxy.New(proxy.Config{
		Store: s.store, Visitor: s.api.Visitor, Refuse: s.api.RefuseVisitor, RemoteAddr: api.RemoteAddr,
		Domain: s.cfg.Apps, Main: s.cfg.Main, Browser: s.api.Browser, Start: s.start, STUN: s.stun,
		Control: control, Token: s.auth.ProxyToken(), Vouch: s.hub.Vouch, Admits: s.hub.PolicyAdmits, Breakers: s.breakers, Version: s.cfg.Version, Logger: s.cfg.Logger,
	})
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

// acting gives an RPC's context who calls, for the audit log, and the id of the
// request that their stream began with, for all that is logged of it.
func acting(ctx context.Context) context.Context {
	v, _ := rpc.Identity(ctx)
	who, ok := v.(auth.Identity)
	if !ok {
		return ctx
	}
	a := who.Actor()
	a.Remote, a.RequestID = rpc.RemoteAddr(ctx), rpc.RequestID(ctx)
	return store.WithActor(request.WithID(ctx, a.RequestID), a)
}

// ProvisionerToken returns the token of the provisioners of this process. It
// is good for as long as the process lives.
func (s *Server) ProvisionerToken() string { return s.auth.BuiltInToken() }

// Reseal seals all states, and what webhooks sign with, with the first of the keys.
// It returns how many there were that had not been.
func (s *Server) Reseal(ctx context.Context) (int, error) {
	states, err := s.workspaces.Reseal(ctx)
	if err != nil {
		return states, err
	}
	secrets, err := events.Reseal(ctx, s.store, s.cfg.StateKeys)
	return states + secrets, err
}

// Vouches reports whether a WireGuard key belongs to a node of the mesh, or is the
// one that relays are probed with: what a relay asks before it admits one.
func (s *Server) Vouches(ctx context.Context, key [32]byte) (bool, error) {
	if s.cfg.ProbeRelay != nil && key == s.cfg.ProbeKey {
		return true, nil
	}
	return s.hub.Vouches(ctx, key)
}

// startLoops starts what the coordinator does without being asked, until ctx is
// done.
func (s *Server) startLoops(ctx context.Context) *sync.WaitGroup {
	var loops sync.WaitGroup
	loops.Go(func() { s.hub.Run(ctx) })
	loops.Go(func() { s.relays.Run(ctx) })
	loops.Go(func() { s.workspaces.Run(ctx) })
	loops.Go(func() { s.events.Run(ctx) })
	loops.Go(func() { s.webhooks.Run(ctx) })
	loops.Go(func() { s.rollUpStats(ctx) })
	loops.Go(func() { s.followAccess(ctx) })
	return &loops
}
