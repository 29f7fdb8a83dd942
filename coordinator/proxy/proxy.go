// Package proxy lets people into workspaces by a browser alone: it is a node of the
// mesh itself, and what comes to it over HTTP goes on through a tunnel.
//
// The node acts for whoever asks, and reaches an agent only while somebody who may be
// there is on their way: see [mesh.Hub.Vouch]. Who may is asked when a visit begins,
// and again whenever it may have changed: [Proxy.Recheck] ends the visits of those who
// may not any more. The owner of a Proxy calls Close, after which there is none.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/store"
)

// Config configures a Proxy. All of it is needed, but for what says otherwise.
type Config struct {
	Store *store.Store
	// Visitor says who a request is from; it refuses what a page of another site sends
	// with a cookie. Refuse answers those that it refuses, and RemoteAddr says where
	// from they are.
	Visitor    func(*http.Request) (auth.Identity, error)
	Refuse     func(http.ResponseWriter, error)
	RemoteAddr func(*http.Request) string
	// Control serves control streams and relays, to this machine alone, and Token is
	// with what the coordinator's own node comes there.
	Control http.Handler
	Token   string
	// Vouch lets the node be linked to an agent until the function that it returns is
	// called.
	Vouch func(agent uuid.UUID) (withdraw func())
	// Admits reports whether the policy lets somebody, who may be nobody, reach a port of an
	// agent.
	Admits func(ctx context.Context, who auth.Identity, agent uuid.UUID, port uint16) (bool, error)
	// Domain is where apps have their names, and Main where the dashboard is. Without
	// a domain, which is nil, apps are not served.
	Domain *Domain
	Main   *url.URL
	// Browser says whose session a request of the dashboard's has, wherever it is from:
	// nothing is to be changed by it. Start starts a workspace for somebody who may.
	Browser  func(*http.Request) (auth.Identity, error)
	Start    func(ctx context.Context, who auth.Identity, workspace uuid.UUID) error
	Breakers *breaker.Registry
	// STUN returns URLs of the servers by which agents learn their own addresses; one
	// without a host is where the coordinator is.
	STUN    func() []string
	Version string
	Logger  *slog.Logger
}

// Proxy is the way into workspaces by a browser. Its methods may be called
// concurrently.
type Proxy struct {
	cfg  Config
	node *node

	tickets, keys passes
	apps          *httputil.ReverseProxy
	html          *template.Template

	mu     sync.Mutex // guards what follows
	visits map[*visit]struct{}
	doors  map[doorKey]*door
	opened map[noted]time.Time
	closed bool
	open   sync.WaitGroup // visits
}

// New returns a proxy, whose node is not on the mesh before somebody needs it.
func New(cfg Config) *Proxy {
	p := &Proxy{
		cfg: cfg, node: newNode(cfg), html: parsePage(),
		visits: make(map[*visit]struct{}), doors: make(map[doorKey]*door), opened: make(map[noted]time.Time),
	}
	p.apps = p.newApps()
	return p
}

// Close ends all visits, waits for them, and leaves the mesh.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	for v := range p.visits {
		v.end(errClosed)
	}
	for _, d := range p.doors {
		d.shut(errClosed)
	}
	p.mu.Unlock()
	p.open.Wait()
	p.apps.Transport.(*upstream).CloseIdleConnections()
	p.node.close()
}

// errWithdrawn is why a visit ends whose access has.
var errWithdrawn = errors.New("access to the workspace has ended")

// visit is somebody in a workspace, for as long as they may be.
type visit struct {
	who       auth.Identity
	workspace store.Workspace
	agent     uuid.UUID
	ports     []uint16 // of the agent that it reaches, beside SSH
	end       context.CancelCauseFunc
}

// begin notes that somebody is in a workspace, which they may be. What they do there
// ends with the context that it returns; done is to be called then.
func (p *Proxy) begin(ctx context.Context, who auth.Identity, w store.Workspace, agent uuid.UUID, ports ...uint16) (bounded context.Context, done func(), err error) {
	bounded, end := context.WithCancelCause(ctx)
	v := &visit{who, w, agent, ports, end}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		end(errClosed)
		return nil, nil, errClosed
	}
	p.visits[v] = struct{}{}
	p.open.Add(1)
	p.mu.Unlock()
	done = func() {
		end(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.visits, v)
		p.open.Done()
	}
	// Access that ended before the visit was noted would not end it.
	if may, err := p.still(ctx, v); err != nil || !may {
		done()
		return nil, nil, errors.Join(err, errWithdrawn)
	}
	return bounded, done, nil
}

// still reports whether a visit may go on, by what somebody's token and the workspace
// are now.
func (p *Proxy) still(ctx context.Context, v *visit) (bool, error) {
	a, err := p.cfg.Store.LiveAgent(ctx, v.agent)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t, err := p.cfg.Store.LiveToken(ctx, v.who.TokenID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	w := v.workspace
	w.OwnerID, w.OrganizationID = a.OwnerID, a.OrganizationID
	if may, err := p.may(ctx, auth.OfToken(t), auth.Connect, w); err != nil || !may {
		return false, err
	}
	for _, port := range append([]uint16{sshPort}, v.ports...) {
		if admitted, err := p.cfg.Admits(ctx, auth.OfToken(t), v.agent, port); err != nil || !admitted {
			return false, err
		}
	}
	return true, nil
}

// may reports whether somebody may do something with a workspace.
func (p *Proxy) may(ctx context.Context, who auth.Identity, action auth.Action, w store.Workspace) (bool, error) {
	on := auth.Object{Type: auth.Workspace, Instance: true, Owner: w.OwnerID, Organization: w.OrganizationID}
	if who.UserID != w.OwnerID {
		level, err := p.cfg.Store.GrantOf(ctx, who.UserID, w.ID)
		if err != nil {
			return false, err
		}
		on.Grant = auth.Grant(level)
	}
	return auth.Allowed(who, action, on), nil
}

// Recheck ends the visits of those who may not be where they are any more. An error
// says that the database could not tell of some, which are to be looked at again.
func (p *Proxy) Recheck(ctx context.Context, which mesh.Access) error {
	var failed error
	for _, v := range p.suspects(which) {
		may, err := p.still(ctx, v)
		if err != nil {
			failed = fmt.Errorf("proxy: recheck a visit: %w", err)
		}
		if err == nil && (!may || which.HasLeft(v.who)) {
			v.end(errWithdrawn)
		}
	}
	return errors.Join(failed, p.recheckDoors(ctx, which))
}

// suspects are the visits to look at again.
func (p *Proxy) suspects(which mesh.Access) []*visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*visit
	for v := range p.visits {
		if which.All || which.Users[v.who.UserID] || which.Workspaces[v.workspace.ID] || which.Agents[v.agent] || which.HasLeft(v.who) {
			list = append(list, v)
		}
	}
	return list
}
