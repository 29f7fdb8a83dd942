package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// keptAlive is how many connections to an app are kept for the next requests, and
	// keptFor for how long: less than servers keep them.
	keptAlive = 64
	keptFor   = 30 * time.Second

	// copyBuffer is what bodies are copied by.
	copyBuffer = 32 << 10

	// noteEvery is how often it is noted that the same visitor opens the same app.
	noteEvery = time.Hour

	// maxNoted bounds those of whom it is known; of more, some are noted again.
	maxNoted = 10_000

	// preflightFor is how many seconds a browser may remember what it may send.
	preflightFor = "600"
)

// passing is where a request's context has the door that it passes.
type passing struct{}

// newApps returns what carries requests to apps. Which app is in their context.
func (p *Proxy) newApps() *httputil.ReverseProxy {
	buffers := &sync.Pool{New: func() any {
		b := make([]byte, copyBuffer)
		return &b
	}}
	return &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		BufferPool:     bufferPool{buffers},
		Transport:      newUpstream(p.dialApp),
		ModifyResponse: p.answered,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if d, ok := r.Context().Value(passing{}).(*door); ok {
				p.unreachable(w, r, d, err)
			}
		},
		ErrorLog: slog.NewLogLogger(p.cfg.Logger.Handler(), slog.LevelDebug), // an app's faults are no event
	}
}

// bufferPool keeps what bodies are copied by.
type bufferPool struct{ *sync.Pool }

func (b bufferPool) Get() []byte  { return *b.Pool.Get().(*[]byte) }
func (b bufferPool) Put(p []byte) { b.Pool.Put(&p) }

// dialApp connects to what rewrite made of a request: AGENT:PORT.
func (p *Proxy) dialApp(ctx context.Context, _, addr string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	agent, err := uuid.Parse(host)
	if err != nil {
		return nil, fmt.Errorf("proxy: %q is no agent: %w", host, err)
	}
	port, err := parsePort(portText)
	if err != nil {
		return nil, err
	}
	return p.node.dial(ctx, agent, port)
}

// ServesApps reports whether a request is for an app: by its host.
func (p *Proxy) ServesApps(r *http.Request) bool {
	_, ok := p.cfg.Domain.has(r)
	return ok
}

// ServeApp carries a request to the app that its host, or the beginning of its path,
// names, for those who may.
func (p *Proxy) ServeApp(w http.ResponseWriter, r *http.Request) {
	request.SetRoute(r.Context(), "app")
	label, _ := p.cfg.Domain.has(r)
	base := p.cfg.Domain.base(label)
	path := strings.TrimPrefix(r.URL.Path, base)
	switch {
	case r.URL.Path == StylePath:
		ServeStyle(w, r)
		return
	case path == "" && label != "": // what is relative there would be above
		to := *r.URL
		to.Path = base + "/"
		p.lead(w, r, to.RequestURI())
		return
	case path == enterPath:
		p.enter(w, r, label)
		return
	case path == startPath:
		p.start(w, r, label)
		return
	case strings.HasPrefix(path, ownPaths):
		http.NotFound(w, r)
		return
	}
	who := p.visitor(r, label)
	d, err := p.through(r.Context(), label, who)
	switch {
	case errors.Is(err, errSignIn) && isPreflight(r):
		p.preflight(w, r, label)
		return
	case errors.Is(err, errSignIn):
		p.signIn(w, r, label)
		return
	case err != nil:
		p.fail(w, r, label, err)
		return
	case p.cfg.Domain.paths && d.level == levelPublic && isPreflight(r):
		preflightAlone(w, r)
		return
	}
	if d.level != levelPublic && !p.mayAsk(r, label) {
		http.Error(w, "pages elsewhere may not use this app", http.StatusForbidden)
		return
	}
	if who.Kind != auth.User {
		at, _ := parseLabel(label) // through has read it
		p.noteOpened(r, who, at, d.level)
	}
	d.inside.Add(1)
	defer d.inside.Add(-1)
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), passing{}, d))
	defer cancel(nil)
	stop := context.AfterFunc(d.ctx, func() { cancel(context.Cause(d.ctx)) })
	defer stop()
	p.apps.ServeHTTP(w, r.WithContext(ctx))
}

// rewrite makes of a request what the app gets: its own host name, by which it knows
// its pages, where it comes from, and no cookie of ours.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	d := pr.In.Context().Value(passing{}).(*door) // ServeApp puts it there
	pr.Out.URL.Scheme = "http"
	if d.secure {
		pr.Out.URL.Scheme = "https"
	}
	pr.Out.URL.Host = net.JoinHostPort(d.agent.String(), strconv.Itoa(int(d.port)))
	pr.Out.Host = pr.In.Host
	h := pr.Out.Header
	h.Del("X-Forwarded-Prefix")
	if base := p.cfg.Domain.base(d.key.label); base != "" {
		pr.Out.URL.Path, pr.Out.URL.RawPath = strings.TrimPrefix(pr.Out.URL.Path, base), strings.TrimPrefix(pr.Out.URL.RawPath, base)
		h.Set("X-Forwarded-Prefix", base)
	}
	h.Set("X-Forwarded-For", p.cfg.RemoteAddr(pr.In))
	h.Set("X-Forwarded-Host", pr.In.Host)
	h.Set("X-Forwarded-Proto", p.cfg.Domain.scheme)
	h.Del("Forwarded")
	h.Del("X-Real-Ip")
	withoutOurs(h)
}

// withoutOurs takes our cookies out of a request's.
func withoutOurs(h http.Header) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if name, _, _ := strings.Cut(part, "="); part != "" && !isOurs(strings.TrimSpace(name)) {
				kept = append(kept, part)
			}
		}
	}
	if len(kept) == 0 {
		h.Del("Cookie")
		return
	}
	h.Set("Cookie", strings.Join(kept, "; "))
}

// answered takes out of an app's answer what is not its own to say: our cookies, and
// cookies for other apps. A page of another app of the same owner may read it, if the
// app itself does not say who may.
func (p *Proxy) answered(resp *http.Response) error {
	h := resp.Header
	if set := h["Set-Cookie"]; len(set) > 0 {
		var kept []string
		for _, line := range set {
			if name, _, _ := strings.Cut(line, "="); !isOurs(strings.TrimSpace(name)) {
				kept = append(kept, withoutDomain(line))
			}
		}
		h["Set-Cookie"] = kept
	}
	r := resp.Request
	origin := r.Header.Get("Origin")
	d := r.Context().Value(passing{}).(*door)
	if p.cfg.Domain.paths {
		p.answeredBelow(h, d, origin)
		return nil
	}
	if origin != "" && h.Get("Access-Control-Allow-Origin") == "" && p.isSibling(origin, d.key.label) {
		allowOrigin(h, origin)
	}
	return nil
}

// withoutDomain has a cookie be for the app's own host.
func withoutDomain(line string) string {
	var kept []string
	for part := range strings.SplitSeq(line, ";") {
		if name, _, _ := strings.Cut(part, "="); !strings.EqualFold(strings.TrimSpace(name), "domain") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ";")
}

// isSibling reports whether an origin is another app of the same workspace's.
func (p *Proxy) isSibling(origin, label string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if p.cfg.Domain.paths {
		return false // an origin does not tell which of them it is
	}
	other, ok := p.cfg.Domain.label(u.Host)
	if !ok || p.cfg.Domain.origin(other) != origin {
		return false
	}
	a, ok1 := parseLabel(other)
	b, ok2 := parseLabel(label)
	return ok1 && ok2 && a.Owner == b.Owner && a.Workspace == b.Workspace
}

// mayAsk reports whether a request that does something is from a page of the same
// workspace's: pages of other apps are on the same site, as browsers see it, and the
// visitor's key comes along with what they send. Programs say no origin.
func (p *Proxy) mayAsk(r *http.Request, label string) bool {
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions) && r.Header.Get("Upgrade") == ""
	origin := r.Header.Get("Origin")
	return reads || origin == "" || origin == p.cfg.Domain.origin(label) || p.isSibling(origin, label)
}

func allowOrigin(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Add("Vary", "Origin")
}

// isPreflight reports whether a browser asks whether a page may send something. It asks
// without a cookie.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflight answers for an app that the browser does not show itself to: pages of the
// same workspace may send what they want, and no others.
func (p *Proxy) preflight(w http.ResponseWriter, r *http.Request, label string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	origin := r.Header.Get("Origin")
	if !p.isSibling(origin, label) {
		http.Error(w, "pages elsewhere may not use this app", http.StatusForbidden)
		return
	}
	allowOrigin(h, origin)
	h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", preflightFor)
	w.WriteHeader(http.StatusNoContent)
}

// noted is who was noted to have opened an app.
type noted struct {
	at     Address
	remote string
	user   uuid.UUID
}

// noteOpened notes in the audit log that somebody opens an app, the first time in a
// while.
func (p *Proxy) noteOpened(r *http.Request, who auth.Identity, at Address, level string) {
	key := noted{at, p.cfg.RemoteAddr(r), who.UserID}
	now := time.Now()
	p.mu.Lock()
	last, known := p.opened[key]
	if known && now.Sub(last) < noteEvery {
		p.mu.Unlock()
		return
	}
	for k := range p.opened {
		if len(p.opened) < maxNoted {
			break
		}
		delete(p.opened, k)
	}
	p.opened[key] = now
	p.mu.Unlock()
	details := map[string]string{"what": at.What, "agent": at.Agent}
	if level != "" {
		details["level"] = level
	}
	ctx, cancel := context.WithTimeout(store.WithActor(context.WithoutCancel(r.Context()), p.actor(r, who)), recordTimeout)
	defer cancel()
	var id uuid.UUID
	if w, err := p.cfg.Store.WorkspaceByName(ctx, at.Owner, at.Workspace); err == nil {
		id = w.ID
	}
	if err := p.cfg.Store.WriteAudit(ctx, "workspace.open-app", store.AuditDone, id, at.Workspace, details); err != nil {
		p.cfg.Logger.WarnContext(ctx, "that somebody opened an app is missing in the audit log", "err", err)
	}
}
