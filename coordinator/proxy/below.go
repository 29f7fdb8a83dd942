package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

// Where apps are paths of one host, browsers take them for one site: what a page of one
// may, the others' pages may. So only a workspace's owner gets there, whose own they
// are, but for what is public: that is put into a sandbox, where it is of no origin and
// has no cookies, so that it can neither read nor do anything to the owner's.
const sandbox = "sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads allow-pointer-lock"

// hostWide are headers that speak for a whole host, which is no single app's.
var hostWide = []string{"Alt-Svc", "Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security"}

// answeredBelow makes of an app's answer one from below its path.
func (p *Proxy) answeredBelow(h http.Header, d *door, origin string) {
	base := p.cfg.Domain.base(d.key.label)
	for _, name := range hostWide {
		h.Del(name)
	}
	for i, line := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = cookieBelow(line, base)
	}
	if to := h.Get("Location"); to != "" {
		h.Set("Location", locationBelow(to, p.cfg.Domain.origin(d.key.label), base))
	}
	if d.level != levelPublic {
		return
	}
	h.Add("Content-Security-Policy", sandbox)
	if origin == "null" && h.Get("Access-Control-Allow-Origin") == "" {
		h.Set("Access-Control-Allow-Origin", "*") // its own scripts are of another origin, too
	}
}

// cookieBelow has a cookie be for what is below a path.
func cookieBelow(line, base string) string {
	parts := strings.Split(line, ";")
	path := "/"
	kept := parts[:1]
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "path") {
			kept = append(kept, part)
		} else if value = strings.TrimSpace(value); strings.HasPrefix(value, "/") {
			path = strings.TrimPrefix(value, base)
		}
	}
	return strings.Join(kept, ";") + "; Path=" + base + path
}

// locationBelow is where a redirect of an app's leads, which may not know of the path
// that it is below.
func locationBelow(to, origin, base string) string {
	u, err := url.Parse(to)
	switch {
	case err != nil, strings.HasPrefix(u.Path, base+"/"):
		return to
	case u.Host == "" && u.Scheme == "" && strings.HasPrefix(to, "/"):
		return base + to
	case u.Scheme+"://"+u.Host == origin:
		rest := strings.TrimPrefix(to, origin)
		if !strings.HasPrefix(rest, "/") {
			rest = "/" + rest
		}
		return base + rest
	}
	return to
}

// preflightAlone answers for a public app, whose own pages are of no origin: whatever
// page may send what it wants, without cookies.
func preflightAlone(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Max-Age", preflightFor)
	w.WriteHeader(http.StatusNoContent)
}
