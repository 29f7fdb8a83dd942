package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
)

// Cookies that browsers have of us.
const (
	sessionCookie = "adit_session"
	flowCookie    = "adit_signin"
)

// hostPrefix is what browsers take as: over HTTPS, for this host alone, not for
// a workspace's app on a name below it.
const hostPrefix = "__Host-"

// base is where a browser finds us.
func (a *API) base(r *http.Request) *url.URL {
	if a.AccessURL != nil {
		return a.AccessURL
	}
	u := &url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u
}

func (a *API) cookieName(r *http.Request, name string) string {
	if a.base(r).Scheme == "https" {
		return hostPrefix + name
	}
	return name
}

// cookie makes a cookie that scripts do not see and that comes along only when
// somebody follows a link here. A negative lifetime removes it.
func (a *API) cookie(r *http.Request, name, value string, lifetime time.Duration) http.Cookie {
	return http.Cookie{
		Name: a.cookieName(r, name), Value: value, Path: "/", MaxAge: int(lifetime.Seconds()),
		Secure: a.base(r).Scheme == "https", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// newSession signs a browser in.
func (a *API) newSession(ctx context.Context, r *http.Request, u store.User) (http.Cookie, error) {
	end := a.sessionEnd()
	token, _, err := a.Auth.Issue(ctx, store.NewToken{UserID: u.ID, Name: "browser", ExpiresAt: end, Kind: store.TokenBrowser})
	if err == nil {
		a.noteSignIn(ctx, store.AuditDone, u.ID, u.Username)
	}
	return a.cookie(r, sessionCookie, token, time.Until(*end)), err
}

// sessionToken returns the token of a browser's session; "" if there is none.
func (a *API) sessionToken(r *http.Request) string {
	c, err := r.Cookie(a.cookieName(r, sessionCookie))
	if err != nil {
		return ""
	}
	return c.Value
}

// fromHere reports whether a page of ours sent a request that changes something.
// Browsers say so in every such request, one way or both; what says nothing is
// no browser, and has no business with cookies.
func (a *API) fromHere(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	if site != "" && site != "same-origin" && site != "none" {
		return false
	}
	if origin == "" {
		return site != ""
	}
	base := a.base(r)
	return origin == base.Scheme+"://"+base.Host
}

// Visitor returns who sends a request that is answered elsewhere than here. With a
// cookie it has to come from a page of ours, whatever its method: a WebSocket begins
// with GET, and browsers let any site open one.
func (a *API) Visitor(r *http.Request) (auth.Identity, error) {
	token := bearer(r.Header.Get("Authorization"))
	if token == "" {
		if token = a.sessionToken(r); token != "" && !a.fromHere(r) {
			return auth.Identity{}, errForeign
		}
	}
	who, err := a.Auth.Authenticate(r.Context(), token)
	if err == nil && who.Kind != auth.User {
		err = auth.ErrUnauthenticated
	}
	return who, err
}

// Browser returns whose session a browser has, whatever page sends it here: nothing
// may be changed by that.
func (a *API) Browser(r *http.Request) (auth.Identity, error) {
	who, err := a.Auth.Authenticate(r.Context(), a.sessionToken(r))
	if err == nil && who.Kind != auth.User {
		err = auth.ErrUnauthenticated
	}
	return who, err
}

// RefuseVisitor answers a request that Visitor refuses.
func (a *API) RefuseVisitor(w http.ResponseWriter, err error) {
	failure := a.problem(err)
	p, ok := failure.(*problem)
	if !ok {
		p = plain(failure.GetStatus(), failure.Error())
	}
	p.write(w)
}

var errForeign = huma.Error403Forbidden("the request comes from another site")

// credential returns the token of a request: its own, or that of the browser's
// session.
func (a *API) credential(ctx huma.Context) (string, error) {
	if header := ctx.Header("Authorization"); header != "" {
		return bearer(header), nil
	}
	r, _ := humachi.Unwrap(ctx)
	token := a.sessionToken(r)
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return token, nil
	}
	if token != "" && !a.fromHere(r) {
		return "", errForeign
	}
	return token, nil
}
