package api

import (
	"context"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// flowLifetime is how long somebody may take at their provider.
	flowLifetime = 10 * time.Minute

	// maxForm bounds what a form sends.
	maxForm = 8 << 10
)

//go:embed signin.html
var signInHTML embed.FS

// pages are what people see who sign in with a browser: without scripts, and
// from nowhere but here.
type pages struct {
	a    *API
	html *template.Template
}

// page is what signin.html shows.
type page struct {
	Error, Note string
	User        string // who is signed in
	Next        string
	Ways        []way // beside a password
	// Code and Remote are of a command line that waits.
	Code, Remote string
}

// way is a provider, and whether whoever is signed in is linked to it.
type way struct {
	auth.Provider
	Linked bool
}

// flow is what a browser keeps of a sign-in that it began.
type flow struct {
	auth.Flow
	Provider string
	Next     string
	Link     bool // to whoever is signed in
}

func (a *API) servePages(r chi.Router) {
	p := &pages{a: a, html: template.Must(template.ParseFS(signInHTML, "signin.html"))}
	r.Group(func(r chi.Router) {
		r.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
				ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
				defer cancel()
				r = r.WithContext(ctx)
				r.Body = http.MaxBytesReader(w, r.Body, maxForm)
				switch {
				case a.limits.signIns.RespondOnLimit(w, r, addressOf(r)):
				case r.Method == http.MethodPost && !a.fromHere(r):
					p.show(w, r, http.StatusForbidden, page{Error: "That came from another site. Open this page yourself."})
				default:
					next.ServeHTTP(w, r)
				}
			})
		})
		for _, path := range []string{"/signin", "/signin/"} {
			r.Get(path, p.signIn)
			r.Post(path, p.password)
		}
		r.Post("/signin/out", p.signOut)
		r.Get("/signin/device", p.device)
		r.Post("/signin/device", p.decide)
		r.Get("/signin/with/{provider}", p.begin)
		r.Post("/signin/link/{provider}", p.begin)
		r.Get("/signin/with/{provider}/callback", p.finish)
	})
}

func providerPath(p auth.Provider) string { return "/signin/with/" + p.Name() }

func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, pg page) {
	var linked []string
	if who, ok := p.who(r); ok {
		pg.User = who.Username
		var err error
		if linked, err = p.a.Store.IssuersOf(r.Context(), who.UserID); err != nil {
			p.a.Logger.DebugContext(r.Context(), "a page does not say what is linked", "err", err)
		}
	}
	for _, pr := range p.a.Providers {
		pg.Ways = append(pg.Ways, way{pr, slices.Contains(linked, pr.Issuer())})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := p.html.Execute(w, pg); err != nil {
		p.a.Logger.Debug("a page was not read to its end", "err", err)
	}
}

// fail shows what went wrong, as far as it is the visitor's business.
func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error, pg page) {
	var refused *auth.Refused
	var tooMany *auth.TooMany
	status := http.StatusForbidden
	switch {
	case errors.As(err, &refused):
		pg.Error = "Not signed in: " + refused.Why + "."
	case errors.Is(err, auth.ErrUnauthenticated):
		status, pg.Error = http.StatusUnauthorized, "Wrong user name or password."
	case errors.As(err, &tooMany):
		w.Header().Set("Retry-After", strconv.Itoa(int(tooMany.Wait.Seconds())))
		status, pg.Error = http.StatusTooManyRequests, "Not signed in: "+tooMany.Error()+"."
	case errors.Is(err, auth.ErrSuspended):
		pg.Error = "Not signed in: " + auth.ErrSuspended.Error() + "."
	default:
		p.a.Logger.Warn("sign-in failed", "err", err)
		status, pg.Error = http.StatusServiceUnavailable, "That does not work right now. Try again in a moment."
	}
	p.show(w, r, status, pg)
}

// who returns whose browser it is.
func (p *pages) who(r *http.Request) (auth.Identity, bool) {
	who, err := p.a.Auth.Authenticate(r.Context(), p.a.sessionToken(r))
	return who, err == nil && who.Kind == auth.User
}

// local keeps a way on within this site: anything else leads home.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/signin"
	}
	return next
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, page{Next: local(r.URL.Query().Get("next"))})
}

func (p *pages) password(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.show(w, r, http.StatusBadRequest, page{Error: "That form cannot be read."})
		return
	}
	next := local(r.PostForm.Get("next"))
	u, err := p.a.Auth.CheckPassword(r.Context(), r.PostForm.Get("username"), r.PostForm.Get("password"))
	if err == nil {
		err = p.enter(w, r, u)
	} else if errors.Is(err, auth.ErrUnauthenticated) {
		p.a.noteSignIn(r.Context(), store.AuditRefused, uuid.Nil, r.PostForm.Get("username"))
	}
	if err != nil {
		p.fail(w, r, err, page{Next: next})
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// enter gives a browser a session. Whatever it had before is over.
func (p *pages) enter(w http.ResponseWriter, r *http.Request, u store.User) error {
	if old, ok := p.who(r); ok {
		if err := p.a.revoke(r.Context(), old.UserID, old.TokenID); err != nil {
			p.a.Logger.Debug("a browser's old session stays", "err", err)
		}
	}
	c, err := p.a.newSession(r.Context(), r, u)
	if err == nil {
		http.SetCookie(w, &c)
	}
	return err
}

func (p *pages) signOut(w http.ResponseWriter, r *http.Request) {
	if who, ok := p.who(r); ok {
		if err := p.a.revoke(r.Context(), who.UserID, who.TokenID); err != nil {
			p.fail(w, r, err, page{})
			return
		}
	}
	c := p.a.cookie(r, sessionCookie, "", -time.Second)
	http.SetCookie(w, &c)
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

func (p *pages) device(w http.ResponseWriter, r *http.Request) {
	code := strings.ToUpper(strings.TrimSpace(r.URL.Query().Get("code")))
	if _, ok := p.who(r); !ok {
		http.Redirect(w, r, "/signin?"+url.Values{"next": {"/signin/device?code=" + url.QueryEscape(code)}}.Encode(), http.StatusSeeOther)
		return
	}
	d, err := store.DeviceLogin{}, store.ErrNotFound
	if isText(code) {
		d, err = p.a.Store.DeviceLoginByCode(r.Context(), code)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.show(w, r, http.StatusNotFound, page{Error: "No command line waits with that code. It waits for ten minutes; run adit login again."})
	case err != nil:
		p.fail(w, r, err, page{})
	default:
		p.show(w, r, http.StatusOK, page{Code: d.UserCode, Remote: d.Remote})
	}
}

func (p *pages) decide(w http.ResponseWriter, r *http.Request) {
	who, ok := p.who(r)
	if !ok || r.ParseForm() != nil || !isText(r.PostForm.Get("code")) {
		p.show(w, r, http.StatusForbidden, page{Error: "Sign in first."})
		return
	}
	allow := r.PostForm.Get("decision") == "allow"
	err := p.a.Store.DecideDeviceLogin(r.Context(), r.PostForm.Get("code"), who.UserID, allow)
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.show(w, r, http.StatusNotFound, page{Error: "No command line waits with that code any more."})
	case err != nil:
		p.fail(w, r, err, page{})
	case allow:
		p.show(w, r, http.StatusOK, page{Note: "The command line is signed in. You may close this page."})
	default:
		p.show(w, r, http.StatusOK, page{Note: "The command line was turned away."})
	}
}

func (p *pages) provider(r *http.Request) auth.Provider {
	for _, pr := range p.a.Providers {
		if pr.Name() == chi.URLParam(r, "provider") {
			return pr
		}
	}
	return nil
}

func (p *pages) redirectURL(r *http.Request, pr auth.Provider) string {
	return p.a.base(r).JoinPath(providerPath(pr), "callback").String()
}

// begin sends a browser to a provider. By POST, which only a page of ours can
// send, it links the provider to whoever is signed in: or another site could link
// its own account to theirs.
func (p *pages) begin(w http.ResponseWriter, r *http.Request) {
	pr := p.provider(r)
	if pr == nil {
		p.show(w, r, http.StatusNotFound, page{Error: "There is no such way to sign in."})
		return
	}
	f := flow{Flow: auth.NewFlow(), Provider: pr.Name(), Next: local(r.URL.Query().Get("next")), Link: r.Method == http.MethodPost}
	to, err := pr.Begin(r.Context(), p.redirectURL(r, pr), f.Flow)
	if err != nil {
		p.fail(w, r, err, page{Next: f.Next})
		return
	}
	raw, err := json.Marshal(f)
	if err != nil {
		p.fail(w, r, err, page{Next: f.Next})
		return
	}
	c := p.a.cookie(r, flowCookie, base64.RawURLEncoding.EncodeToString(raw), flowLifetime)
	http.SetCookie(w, &c)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// began returns the sign-in that this browser began at a provider, if what came
// back is its end. It ends one sign-in once.
func (p *pages) began(w http.ResponseWriter, r *http.Request, pr auth.Provider) (flow, error) {
	notOurs := &auth.Refused{Why: "it was not begun in this browser, or too long ago; try again"}
	c, err := r.Cookie(p.a.cookieName(r, flowCookie))
	if err != nil {
		return flow{}, notOurs
	}
	gone := p.a.cookie(r, flowCookie, "", -time.Second)
	http.SetCookie(w, &gone)
	var f flow
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || json.Unmarshal(raw, &f) != nil || f.Provider != pr.Name() || f.State == "" ||
		subtle.ConstantTimeCompare([]byte(f.State), []byte(r.URL.Query().Get("state"))) != 1 {
		return flow{}, notOurs
	}
	return f, nil
}

func (p *pages) finish(w http.ResponseWriter, r *http.Request) {
	pr := p.provider(r)
	if pr == nil {
		p.show(w, r, http.StatusNotFound, page{Error: "There is no such way to sign in."})
		return
	}
	f, err := p.began(w, r, pr)
	if err == nil && r.URL.Query().Get("code") == "" {
		err = &auth.Refused{Why: pr.Title() + " did not let you through"}
	}
	if err != nil {
		p.fail(w, r, err, page{})
		return
	}
	person, err := pr.Finish(r.Context(), p.redirectURL(r, pr), r.URL.Query().Get("code"), f.Flow)
	if err == nil && f.Link {
		err = p.link(r, person)
	} else if err == nil {
		var u store.User
		if u, err = p.a.Auth.SignInWith(r.Context(), person, pr.Rules()); err == nil {
			err = p.enter(w, r, u)
		}
	}
	if err != nil {
		p.fail(w, r, err, page{Next: local(f.Next)})
		return
	}
	http.Redirect(w, r, local(f.Next), http.StatusSeeOther)
}

// link notes whom a provider knows whoever is signed in as.
func (p *pages) link(r *http.Request, person auth.Person) error {
	who, ok := p.who(r)
	if !ok {
		return &auth.Refused{Why: "your session ended meanwhile; sign in again"}
	}
	u, err := p.a.Store.UserByID(r.Context(), who.UserID)
	if err != nil {
		return err
	}
	return p.a.Auth.Link(r.Context(), u, person)
}
