package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
)

// How somebody who is signed in at the dashboard gets to an app on another name, where
// the dashboard's cookie does not go and must not:
//
//	app        sets a cookie of its own with a nonce, and leads to
//	dashboard  OpenPath, with the nonce's digest. Who may, gets a ticket, and is led to
//	app        enterPath: takes the ticket, once, from the browser that has the nonce,
//	           and sets a cookie with a key, which opens this app and nothing else
const (
	// OpenPath is where the dashboard's host gives tickets.
	OpenPath = "/open"

	// ownPaths are those of an app's host that are ours.
	ownPaths  = "/.adit/"
	enterPath = ownPaths + "enter"
	startPath = ownPaths + "start"

	// StylePath is where the style of our own pages is, there and on the dashboard's host.
	StylePath = ownPaths + "style.css"

	// nonceFor is how long somebody may take to sign in on the way.
	nonceFor = 10 * time.Minute

	// maxPath bounds where somebody wanted to go; longer ones lead to the beginning.
	maxPath = 2 << 10
)

// Cookies on the hosts of apps. None of them gets to the app.
const (
	keyCookie   = "adit_app"
	nonceCookie = "adit_app_nonce"
	// What browsers let only HTTPS set, and the first only for a whole host.
	hostPrefix, securePrefix = "__Host-", "__Secure-"
)

// isOurs reports whether a cookie is one of ours, the dashboard's included.
func isOurs(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{hostPrefix, securePrefix} {
		name = strings.TrimPrefix(name, strings.ToLower(prefix))
	}
	return strings.HasPrefix(name, "adit_")
}

// cookie makes one for the pages of a label alone.
func (d *Domain) cookie(label, name, value string, lasts time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: d.cookieName(name), Value: value, Path: d.base(label) + "/", MaxAge: int(lasts.Seconds()), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: d.scheme == "https",
	}
}

func (d *Domain) cookieName(name string) string {
	switch {
	case d.scheme != "https":
		return name
	case d.paths:
		return securePrefix + name
	}
	return hostPrefix + name
}

func (d *Domain) read(r *http.Request, name string) string {
	c, err := r.Cookie(d.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// visitor is whose key a request has; nobody without one.
func (p *Proxy) visitor(r *http.Request, label string) auth.Identity {
	if key := p.cfg.Domain.read(r, keyCookie); key != "" {
		if has, ok := p.keys.see(key, label); ok {
			return has.who
		}
	}
	return auth.Identity{}
}

// signIn leads somebody whom nobody knows to the dashboard, and back. What is no page
// is told: it would not find the way.
func (p *Proxy) signIn(w http.ResponseWriter, r *http.Request, label string) {
	if !isNavigation(r) {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "sign in: open this app in a browser", http.StatusUnauthorized)
		return
	}
	nonce := rand.Text()
	digest := sha256.Sum256([]byte(nonce))
	http.SetCookie(w, p.cfg.Domain.cookie(label, nonceCookie, nonce, nonceFor))
	to := *p.cfg.Main
	to.Path = OpenPath
	to.RawQuery = url.Values{"at": {label}, "nonce": {hex.EncodeToString(digest[:])}, "path": {strings.TrimPrefix(r.URL.RequestURI(), p.cfg.Domain.base(label))}}.Encode()
	p.lead(w, r, to.String())
}

// lead leads on. What is in the address is nobody else's to know.
func (p *Proxy) lead(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to, http.StatusFound)
}

// isNavigation reports whether a request is a browser's for a page.
func isNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// ServeOpen gives a ticket to somebody who is signed in at the dashboard. It is served
// there.
func (p *Proxy) ServeOpen(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	label := q.Get("at")
	who, err := p.cfg.Browser(r)
	if errors.Is(err, auth.ErrUnauthenticated) {
		p.lead(w, r, "/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode())
		return
	}
	var level string
	if err == nil {
		var d *door
		d, err = p.through(r.Context(), label, who)
		if d != nil {
			level = d.level
		}
	}
	var stopped errStopped
	var away errAway
	if err != nil && !errors.As(err, &stopped) && !errors.As(err, &away) { // which the app's own host shows
		p.fail(w, r, label, err)
		return
	}
	nonce, err := hex.DecodeString(q.Get("nonce"))
	if err != nil || len(nonce) != sha256.Size {
		p.fail(w, r, label, store.ErrNotFound)
		return
	}
	at, _ := parseLabel(label) // lookUp has read it
	p.noteOpened(r, who, at, level)
	ticket := p.tickets.give(pass{who: who, label: label, nonce: [sha256.Size]byte(nonce), path: local(q.Get("path"))}, ticketFor)
	p.lead(w, r, p.cfg.Domain.root(label)+enterPath+"?"+url.Values{"ticket": {ticket}}.Encode())
}

// local returns a path of the app's own; what is none is its beginning.
func local(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.Contains(path, `\`) || len(path) > maxPath || strings.HasPrefix(u.Path, ownPaths) {
		return "/"
	}
	return path
}

// enter takes a ticket from the browser that it was given to, and gives it a key.
func (p *Proxy) enter(w http.ResponseWriter, r *http.Request, label string) {
	ticket, ok := p.tickets.take(r.URL.Query().Get("ticket"), label)
	if !ok || sha256.Sum256([]byte(p.cfg.Domain.read(r, nonceCookie))) != ticket.nonce {
		p.lead(w, r, p.cfg.Domain.base(label)+"/") // which leads to another
		return
	}
	key := p.keys.give(pass{who: ticket.who, label: label}, keyFor)
	http.SetCookie(w, p.cfg.Domain.cookie(label, keyCookie, key, keyFor))
	http.SetCookie(w, p.cfg.Domain.cookie(label, nonceCookie, "", -time.Second))
	p.lead(w, r, p.cfg.Domain.base(label)+ticket.path)
}

// start starts the workspace of an app for somebody who may.
func (p *Proxy) start(w http.ResponseWriter, r *http.Request, label string) {
	who := p.visitor(r, label)
	if r.Method != http.MethodPost || r.Header.Get("Origin") != p.cfg.Domain.origin(label) {
		http.Error(w, "that came from elsewhere", http.StatusForbidden)
		return
	}
	_, err := p.lookUp(r.Context(), label, who)
	var stopped errStopped
	if errors.As(err, &stopped) && stopped.mayStart {
		err = p.cfg.Start(store.WithActor(r.Context(), p.actor(r, who)), who, stopped.workspace.ID)
		if err == nil {
			p.lead(w, r, p.cfg.Domain.base(label)+"/")
			return
		}
	}
	p.fail(w, r, label, err)
}

func (p *Proxy) actor(r *http.Request, who auth.Identity) store.Actor {
	a := store.Actor{Kind: store.ActorNobody}
	if who.Kind == auth.User {
		a = who.Actor()
	}
	a.Remote, a.RequestID = p.cfg.RemoteAddr(r), request.ID(r.Context())
	return a
}
