package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/aditmesh/adit/coordinator/auth"
)

// Whatever cookie and state a browser comes back with from a provider: a sign-in goes
// on only if both have the same state, and then leads nowhere but here.
func FuzzFlowCookie(f *testing.F) {
	good := base64.RawURLEncoding.EncodeToString([]byte(`{"State":"s","Provider":"github","Next":"/signin/device?code=A"}`))
	f.Add(good, "s")
	f.Add(good, "")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"State":"","Provider":"github","Next":"//evil.example"}`)), "")
	f.Add("!", "s")
	pr := auth.NewGitHub(auth.GitHubConfig{})
	p := &pages{a: &API{}}
	f.Fuzz(func(t *testing.T, cookie, state string) {
		r := httptest.NewRequest(http.MethodGet, "/signin/with/github/callback?"+url.Values{"state": {state}, "code": {"c"}}.Encode(), nil)
		r.Header["Cookie"] = []string{p.a.cookieName(r, flowCookie) + "=" + cookie}
		w := httptest.NewRecorder()
		got, err := p.began(w, r, pr)
		if err == nil && (state == "" || got.State != state || got.Provider != "github") {
			t.Errorf("%q with state %q goes on as %+v", cookie, state, got)
		}
		if next := local(got.Next); next[0] != '/' || len(next) > 1 && (next[1] == '/' || next[1] == '\\') {
			t.Errorf("it leads to %q", next)
		}
		for _, c := range w.Result().Cookies() {
			if c.MaxAge >= 0 {
				t.Errorf("it can be ended again: %v", c)
			}
		}
	})
}
