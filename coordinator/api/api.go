// Package api is the coordinator's HTTP API: everything under /api/v1, its
// OpenAPI document at /api/openapi.json, which /api/docs shows to people, and the
// health endpoints.
//
// Every operation but buildinfo, login, the first user and what agents start with
// needs a token.
// Access is denied by default: what is not one's own is answered as if it did
// not exist. Errors are RFC 9457 problems.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/events"
	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/relays"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxBody bounds a request, unless it brings a template or a state: the
	// largest is a sign-in.
	maxBody = 64 << 10

	// requestTimeout bounds the work on one request.
	requestTimeout = 20 * time.Second
)

// Mesh is what the API asks of the mesh.
type Mesh interface {
	// AgentDeleted, TokenRevoked and UserRevoked end what an agent, a token or a
	// person has open.
	AgentDeleted(agentID uuid.UUID)
	TokenRevoked(tokenID uuid.UUID)
	UserRevoked(userID uuid.UUID)
	// Connections lists the clients linked to an agent.
	Connections(agentID uuid.UUID) []mesh.Connection
	// RegionLatencies returns how far nodes have it to regions of relays.
	RegionLatencies() map[uint32]mesh.RegionLatency
	// Links reports whether the policy lets the workspace of one agent reach another agent.
	Links(ctx context.Context, fromAgent, toAgent uuid.UUID) (bool, error)
}

// Config configures the API.
type Config struct {
	Store *store.Store
	Auth  *auth.Authenticator
	Mesh  Mesh
	// Relays are the regional ones.
	Relays *relays.Registry
	// Workspaces has templates, builds and provisioners.
	Workspaces *workspaces.Service
	// Events are what watches tell of.
	Events *events.Bus
	// Health says what is wrong with the deployment.
	Health func(ctx context.Context) sdk.Health
	// Support gathers what somebody who helps needs to know.
	Support func(ctx context.Context) []sdk.SupportFile
	// Identity checks which instance of a cloud an agent runs on; nil is that none
	// is accepted.
	Identity *identity.Verifier
	// Keys seal the secrets of webhooks.
	Keys *seal.Keys
	// WebhookPrivate lets webhooks go to addresses that are not the internet's.
	WebhookPrivate bool
	// Closing, when it is closed, ends answers that would go on for long. Nil
	// is never.
	Closing <-chan struct{}
	// Programs is the directory of what agents of other platforms download, named
	// adit-OS-ARCH; empty is none.
	Programs string
	// AccessURL is where people and agents reach the coordinator; nil means by
	// whatever name a request came.
	AccessURL *url.URL
	// AppURL is where a browser finds an app of an agent's, by its slug or port; ""
	// if it does not. Nil is that none are found.
	AppURL func(what, agent, workspace, owner string) string
	// Providers are the ways to sign in beside passwords.
	Providers []auth.Provider
	// MaxTokenLifetime is how long tokens may last; zero is for ever.
	MaxTokenLifetime time.Duration
	// TrustedProxies are the networks, as prefixes, whose word on where a request
	// comes from is taken; none is that nobody's is.
	TrustedProxies []string
	Version        string
	Logger         *slog.Logger
}

// API serves the operations.
type API struct {
	Config
	handler http.Handler
	limits  limits
	streams streams
}

// ServeHTTP is http.Handler's.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// New returns the API.
func New(cfg Config) *API {
	a := &API{Config: cfg, limits: newLimits()}
	r := chi.NewRouter()
	r.Use(secure, recovered(cfg.Logger), ClientAddr(cfg.TrustedProxies), routed, from)
	a.servePages(r)
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	r.Get("/readyz", a.ready)
	r.Head("/readyz", a.ready) // as load balancers like to
	r.NotFound(noSuchPath)
	r.MethodNotAllowed(noSuchMethod(r))

	conf := huma.DefaultConfig("adit", cfg.Version)
	conf.OpenAPIPath, conf.DocsPath, conf.SchemasPath = "", "", "" // ours, once it is complete
	conf.CreateHooks = nil                                         // no $schema links in bodies
	conf.Transformers = []huma.Transformer{a.tellFailure, asProblem}
	conf.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		userScheme: {Type: "http", Scheme: "bearer"}, agentScheme: {Type: "http", Scheme: "bearer"}, clientScheme: {Type: "http", Scheme: "bearer"},
	}
	h := humachi.New(r, conf)
	h.UseMiddleware(bound, a.identify(), a.noteRefusals(), a.tags, a.once)
	a.registerSignIn(h)
	a.registerUsers(h)
	a.registerTokens(h)
	a.registerOrganizations(h)
	a.registerGroups(h)
	a.registerWorkspaces(h)
	a.registerTemplates(h)
	a.registerBuilds(h)
	a.registerState(h)
	a.registerProvisioners(h)
	a.registerRelays(h)
	a.registerICE(h)
	a.registerAgents(h)
	a.registerGit(h)
	a.registerWatches(h)
	a.registerHealth(h)
	a.registerStats(h)
	a.registerPorts(h)
	a.registerApps(h)
	a.registerSelf(h)
	a.registerSSHSessions(h)
	a.registerIdentity(h)
	a.registerAudit(h)
	a.registerWebhooks(h)
	a.registerShares(h)
	a.registerSchedules(h)
	a.registerPrepared(h)
	a.registerFollowing(h)
	a.registerQuotas(h)
	a.registerTransfers(h)
	a.registerPolicy(h)
	describeAll(h.OpenAPI())
	serveDocs(r, h.OpenAPI())
	a.handler = r
	return a
}

// secure sets the headers that keep a browser from being made a tool.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Referrer-Policy", "same-origin")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// endless is what operations have as metadata whose answers go on for long.
const endless = "endless"

// bound bounds the work on a request. Its body is bounded by each operation.
func bound(ctx huma.Context, next func(huma.Context)) {
	if ctx.Operation().Metadata[endless] != nil {
		request.Long(ctx.Context())
		next(ctx)
		return
	}
	bounded, cancel := context.WithTimeout(ctx.Context(), requestTimeout)
	defer cancel()
	next(huma.WithContext(ctx, bounded))
}

func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	if err := a.Store.Ping(r.Context()); err != nil {
		a.Logger.WarnContext(r.Context(), "not ready", "err", err)
		http.Error(w, "not ready: the database does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

type identityKey struct{}

// identify lets a request pass if its operation is open or its token is of the
// kind it asks for. Whose that is it puts into the context.
func (a *API) identify() func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if len(ctx.Operation().Security) == 0 {
			next(ctx)
			return
		}
		token, err := a.credential(ctx)
		var who auth.Identity
		if err == nil {
			who, err = a.Auth.Authenticate(ctx.Context(), token)
		}
		if err == nil && !takes(ctx.Operation(), who.Kind) {
			err = auth.ErrUnauthenticated
		}
		if err == nil && ctx.Operation().Metadata[endless] != nil {
			bounded, done := a.streams.add(ctx.Context(), who)
			defer done()
			ctx = huma.WithContext(ctx, bounded)
			// Access that ended before the answer was noted would not end it.
			_, err = a.Auth.Authenticate(bounded, token)
		}
		if err != nil {
			a.writeError(ctx, a.problem(err))
			return
		}
		known := huma.WithValue(ctx, identityKey{}, who)
		next(huma.WithContext(known, store.WithActor(known.Context(), acting(known, who))))
	}
}

// bearer returns the token of an Authorization header; "" if it has none.
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// caller returns who a request is from. Operations without security have none.
func caller(ctx context.Context) auth.Identity {
	who, _ := ctx.Value(identityKey{}).(auth.Identity)
	return who
}

// Whose token an operation asks for.
const (
	userScheme  = "token"
	agentScheme = "agent-token"
	// clientScheme is of the programs of a workspace, by tokens that its agent hands out.
	clientScheme = "client-token"
)

// schemes are what those are called whose tokens operations ask for.
var schemes = map[auth.Kind]string{auth.User: userScheme, auth.Agent: agentScheme, auth.Client: clientScheme}

// takes reports whether an operation takes the token of somebody who is of a kind.
func takes(op *huma.Operation, kind auth.Kind) bool {
	scheme, ok := schemes[kind]
	return ok && needs(op, scheme)
}

// needs reports whether an operation asks for a token of a scheme.
func needs(op *huma.Operation, scheme string) bool {
	for _, s := range op.Security {
		if _, ok := s[scheme]; ok {
			return true
		}
	}
	return false
}

// signedIn marks an operation as one that needs a token of a user.
func signedIn() []map[string][]string { return []map[string][]string{{userScheme: {}}} }

// asAgent marks an operation as one that needs a token of an agent.
func asAgent() []map[string][]string { return []map[string][]string{{agentScheme: {}}} }

// asAgentOrClient marks one that takes a token of a workspace's programs, too.
func asAgentOrClient() []map[string][]string {
	return []map[string][]string{{agentScheme: {}}, {clientScheme: {}}}
}
