package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Wherever a link wants somebody led who signed in, it is to a page of ours, as
// browsers and the header that tells them understand it.
func FuzzLocal(f *testing.F) {
	for _, next := range []string{"/signin/device?code=A", "//evil.example", "/\\evil.example", "https://evil.example/", "/a/..//evil.example", "/\t/evil.example", "/%2f/evil.example"} {
		f.Add(next)
	}
	base := &url.URL{Scheme: "https", Host: "adit.example.com", Path: "/signin/with/oidc/callback"}
	f.Fuzz(func(t *testing.T, next string) {
		to := local(next)
		u, err := base.Parse(to)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || !strings.HasPrefix(to, "/") || strings.HasPrefix(strings.ReplaceAll(to, `\`, "/"), "//") {
			t.Errorf("%q leads to %q: %v, %v", next, to, u, err)
		}
		w := httptest.NewRecorder()
		http.Redirect(w, &http.Request{Method: http.MethodGet, URL: base}, to, http.StatusSeeOther)
		if at := w.Header().Get("Location"); strings.ContainsAny(at, "\r\n\t\\") || strings.HasPrefix(at, "//") || !strings.HasPrefix(at, "/") {
			t.Errorf("%q leads to %q", next, at)
		}
	})
}
