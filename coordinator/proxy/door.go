package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// lookEvery is how long what was found out holds, unless something tells earlier:
	// an app of a new build, an agent that came back.
	lookEvery = 5 * time.Second

	// maxDoors is how many are kept; those that nobody passes are made again.
	maxDoors = 10_000
)

// Who may open what a workspace serves.
const (
	levelOwner         = "owner" // and those with whom the workspace is shared
	levelAuthenticated = "authenticated"
	levelPublic        = "public"
)

// agentPorts are those that the agent serves itself, to other programs than browsers:
// SSH, what pages offer, files, speed tests and forwards.
var agentPorts = []uint16{22, peerPort, 7077, 7078, 7079}

var (
	// errSignIn is that it may be there, for somebody who is signed in.
	errSignIn = errors.New("proxy: not signed in")
	// errOthers is that somebody may be there, but not where apps are paths of one host.
	errOthers = errors.New("proxy: where apps are paths of one host they are their owners'")
	// errForbidden is that the template forbids forwarding.
	errForbidden = errors.New("proxy: the template of the workspace forbids to reach its ports")
	// errDenied is that the policy does.
	errDenied = errors.New("proxy: the policy does not admit it")
)

// errStopped is a workspace that does not run.
type errStopped struct {
	workspace store.Workspace
	mayStart  bool
}

func (e errStopped) Error() string {
	return fmt.Sprintf("workspace %s is %s", e.workspace.ID, e.workspace.Phase)
}

// place is where an address leads, and who may go there.
type place struct {
	workspace store.Workspace
	agent     uuid.UUID
	port      uint16
	secure    bool
	level     string
}

// doorKey is an address, and by which token somebody comes; zero is nobody's.
type doorKey struct {
	label string
	token uuid.UUID
}

// door is what somebody passes on the way to an address. What passes ends with ctx:
// when they may not any more.
type door struct {
	place
	key  doorKey
	who  auth.Identity
	ctx  context.Context
	shut context.CancelCauseFunc
	// next is when it is looked at again, in Unix nanoseconds, and inside how much
	// passes now.
	next, inside atomic.Int64
}

// through returns the door of an address for somebody, who may be nobody. It is looked
// at now and then, by one of those who come; the others go on.
func (p *Proxy) through(ctx context.Context, label string, who auth.Identity) (*door, error) {
	key := doorKey{label, who.TokenID}
	p.mu.Lock()
	d := p.doors[key]
	p.mu.Unlock()
	now := time.Now()
	if d != nil && d.ctx.Err() == nil {
		next := d.next.Load()
		if now.UnixNano() < next || !d.next.CompareAndSwap(next, now.Add(lookEvery).UnixNano()) {
			return d, nil
		}
	}
	at, err := p.lookUp(ctx, label, who)
	if err != nil {
		if d != nil && !isTransient(err) {
			p.shut(d, err)
		}
		return nil, err
	}
	if d != nil && d.ctx.Err() == nil {
		if d.agent == at.agent && d.port == at.port && d.secure == at.secure && d.level == at.level {
			return d, nil
		}
		p.shut(d, errWithdrawn) // it leads elsewhere now
	}
	d = &door{place: at, key: key, who: who}
	d.ctx, d.shut = context.WithCancelCause(context.Background())
	d.next.Store(now.Add(lookEvery).UnixNano())
	return p.hang(d)
}

// hang keeps a door, or returns the one that another has hung meanwhile.
func (p *Proxy) hang(d *door) (*door, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if have := p.doors[d.key]; have != nil && have.ctx.Err() == nil && have.agent == d.agent && have.port == d.port && have.level == d.level {
		return have, nil
	}
	if len(p.doors) >= maxDoors {
		now := time.Now().UnixNano()
		for k, old := range p.doors {
			if old.inside.Load() == 0 && old.next.Load() < now {
				old.shut(nil)
				delete(p.doors, k)
			}
		}
	}
	p.doors[d.key] = d
	return d, nil
}

// shut ends what passes a door.
func (p *Proxy) shut(d *door, why error) {
	d.shut(why)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doors[d.key] == d {
		delete(p.doors, d.key)
	}
}

// isTransient reports whether an error says nothing about who may go where.
func isTransient(err error) bool {
	var stopped errStopped
	var away errAway
	for _, told := range []error{store.ErrNotFound, errSignIn, errOthers, errForbidden, errDenied} {
		if errors.Is(err, told) {
			return false
		}
	}
	return !errors.As(err, &stopped) && !errors.As(err, &away)
}

// lookUp finds where an address leads. What somebody may not see is not there; whom
// nobody knows is to say who they are first.
func (p *Proxy) lookUp(ctx context.Context, label string, who auth.Identity) (place, error) {
	a, ok := parseLabel(label)
	if !ok {
		return place{}, store.ErrNotFound
	}
	if who.Kind == auth.User { // as they are now
		t, err := p.cfg.Store.LiveToken(ctx, who.TokenID)
		if errors.Is(err, store.ErrNotFound) {
			return place{}, errSignIn
		}
		if err != nil {
			return place{}, err
		}
		who = auth.OfToken(t)
	}
	hidden := store.ErrNotFound
	if who.Kind != auth.User {
		hidden = errSignIn
	}
	w, err := p.cfg.Store.WorkspaceByName(ctx, a.Owner, a.Workspace)
	if errors.Is(err, store.ErrNotFound) {
		return place{}, hidden
	}
	if err != nil {
		return place{}, err
	}
	own := false
	if who.Kind == auth.User {
		if own, err = p.may(ctx, who, auth.OpenApps, w); err != nil {
			return place{}, err
		}
	}
	i := slices.IndexFunc(w.Agents, func(g store.Agent) bool { return g.Name == a.Agent })
	if i < 0 || w.Phase != store.PhaseRunning {
		switch {
		case !own:
			return place{}, hidden
		case w.Phase == store.PhaseRunning:
			return place{}, store.ErrNotFound
		}
		mayStart, err := p.may(ctx, who, auth.Operate, w)
		return place{}, errors.Join(err, errStopped{w, mayStart && !w.External})
	}
	agent := w.Agents[i]
	at, err := p.target(ctx, agent, a)
	if err != nil {
		if isTransient(err) || own && !errors.Is(err, store.ErrNotFound) {
			return place{}, err
		}
		return place{}, hidden
	}
	at.workspace = w
	open := own || at.level == levelPublic || at.level == levelAuthenticated && who.Kind == auth.User
	if !open {
		return place{}, hidden
	}
	admitted, err := p.cfg.Admits(ctx, who, agent.ID, at.port)
	switch {
	case err != nil:
		return place{}, err
	case !admitted && who.Kind != auth.User: // somebody it knows may
		return place{}, errSignIn
	case !admitted:
		return place{}, errDenied
	case p.cfg.Domain.paths && who.UserID != w.OwnerID && at.level != levelPublic:
		return place{}, errOthers
	case agent.State != store.AgentConnected:
		return place{}, errAway{fmt.Sprintf("Agent %s of %s/%s is %s.", agent.Name, w.OwnerName, w.Name, agent.State)}
	}
	return at, nil
}

// target is what an address names of an agent, and for whom it is.
func (p *Proxy) target(ctx context.Context, agent store.Agent, a Address) (place, error) {
	m, err := api.ManifestOf(agent)
	if err != nil {
		return place{}, err
	}
	if m.GetForbidForwarding() {
		return place{}, errForbidden
	}
	at := place{agent: agent.ID, level: levelOwner}
	port, secure, isPort := a.Port()
	if isPort {
		if slices.Contains(agentPorts, port) {
			return place{}, store.ErrNotFound
		}
		reports, err := p.cfg.Store.AgentReports(ctx, []uuid.UUID{agent.ID})
		if err != nil {
			return place{}, err
		}
		chosen, err := p.cfg.Store.PortVisibilities(ctx, agent.WorkspaceID)
		if err != nil {
			return place{}, err
		}
		at.port, at.secure, at.level = port, secure, levelOf(api.VisibilityOf(int(port), agent, m, reports[agent.ID], chosen))
		return at, nil
	}
	for _, app := range m.GetApps() {
		if app.GetSlug() != a.What {
			continue
		}
		u, err := url.Parse(app.GetUrl())
		if err != nil || u.Host == "" || !isHere(u.Hostname()) {
			return place{}, store.ErrNotFound // it has no pages, or they are elsewhere
		}
		at.secure, at.level = u.Scheme == "https", levelOf(app.GetShare())
		if at.port, err = portOf(u); err != nil {
			return place{}, store.ErrNotFound
		}
		return at, nil
	}
	return place{}, store.ErrNotFound
}

// levelOf reads who may open something; what cannot be read is the owner's.
func levelOf(text string) string {
	switch text {
	case levelAuthenticated, levelPublic:
		return text
	}
	return levelOwner
}

// isHere reports whether a host is the workspace itself, as its agent sees it.
func isHere(host string) bool {
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1", "0.0.0.0"}, host)
}

func portOf(u *url.URL) (uint16, error) {
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		return uint16(n), err
	case u.Scheme == "https":
		return 443, nil
	}
	return 80, nil
}

// recheckDoors looks at doors again whose people or workspaces have changed, and shuts
// those that are not open any more.
func (p *Proxy) recheckDoors(ctx context.Context, which mesh.Access) error {
	p.mu.Lock()
	var list []*door
	for _, d := range p.doors {
		if which.All || d.who.Kind == auth.User && which.Users[d.who.UserID] || which.Workspaces[d.workspace.ID] || which.Agents[d.agent] || which.HasLeft(d.who) {
			list = append(list, d)
		}
	}
	p.mu.Unlock()
	var failed error
	for _, d := range list {
		at, err := p.lookUp(ctx, d.key.label, d.who)
		switch {
		case err != nil && isTransient(err):
			failed = fmt.Errorf("proxy: recheck who may open an app: %w", err)
		case err != nil:
			p.shut(d, errWithdrawn)
		case at.agent != d.agent || at.port != d.port || at.level != d.level || which.HasLeft(d.who):
			p.shut(d, errWithdrawn)
		}
	}
	return failed
}
