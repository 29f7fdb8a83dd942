package captive

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// ours answers as relays do.
func ours(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Tailscale-Response", "response "+r.Header.Get("X-Tailscale-Challenge"))
	w.WriteHeader(http.StatusNoContent)
}

func says(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

func TestAPortalIsWhoAnswersForAnother(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers http.HandlerFunc
		secure  bool
		want    *Portal // For is left out
	}{
		{"the server itself", ours, false, &Portal{}},
		{"the server itself, with any certificate", ours, true, &Portal{}},
		{"a page to sign in on", says(200), false, &Portal{Found: true}},
		{"the way to one", says(302, "Location", "http://portal.example/login?to=x"), false, &Portal{Found: true, SignIn: "http://portal.example/login?to=x"}},
		{"one in a certificate of its own", says(200), true, &Portal{Found: true}},
		{"no content, of those who know no challenge", says(204), false, &Portal{Found: true}},
		{"an old response", says(204, "X-Tailscale-Response", "response adit-old"), false, &Portal{Found: true}},
		{"sign-in required", says(511), false, &Portal{Found: true}},
		{"a proxy whose server is away", says(502), false, nil},
		{"an error on the way to nowhere", says(302), false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := httptest.NewServer
			if c.secure {
				start = httptest.NewTLSServer
			}
			web := start(c.answers)
			defer web.Close()
			got := look(t.Context(), []*url.URL{at(t, web)})
			if (got == nil) != (c.want == nil) || got != nil && got.Found != c.want.Found {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			if got == nil || !got.Found {
				return
			}
			if !strings.HasSuffix(got.For, Path) {
				t.Errorf("asked at %q", got.For)
			}
			if want := c.want.SignIn; got.SignIn != want && (want != "" || got.SignIn != got.For) {
				t.Errorf("to sign in at %q, want %q", got.SignIn, want)
			}
		})
	}
}

// at is where a server is asked.
func at(t *testing.T, s *httptest.Server) *url.URL {
	t.Helper()
	u, err := url.Parse(s.URL + Path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A server that answers at one of its places has no portal before it, and its own way
// to HTTPS is none.
func TestAServerThatAnswersHasNoPortalBeforeIt(t *testing.T) {
	start := func(h http.HandlerFunc) *url.URL {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return at(t, s)
	}
	server, page, away := start(ours), start(says(200)), start(says(503))
	login := start(says(302, "Location", "http://portal.example/"))
	secured := start(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+strings.Split(r.Host, ":")[0]+"/", http.StatusMovedPermanently)
	})
	for _, c := range []struct {
		name string
		at   []*url.URL
		want *Portal
	}{
		{"another web server on port 80", []*url.URL{server, page}, &Portal{}},
		{"the way to HTTPS, which does not answer", []*url.URL{away, secured}, nil},
		{"a portal on port 80", []*url.URL{away, page}, &Portal{Found: true, For: page.String(), SignIn: page.String()}},
		{"where to sign in is told on one port", []*url.URL{page, login}, &Portal{Found: true, For: login.String(), SignIn: "http://portal.example/"}},
	} {
		got := look(t.Context(), c.at)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAPortalIsToldWhoeverElseAnswers(t *testing.T) {
	relay := httptest.NewServer(http.HandlerFunc(ours))
	defer relay.Close()
	portal := httptest.NewServer(says(200))
	defer portal.Close()
	root := func(s *httptest.Server) *url.URL {
		u := at(t, s)
		u.Path = ""
		return u
	}
	if p := Look(t.Context(), []*url.URL{root(relay)}); p == nil || p.Found {
		t.Errorf("found %+v, want that there is none", p)
	}
	if p := Look(t.Context(), []*url.URL{root(relay), root(portal)}); p == nil || !p.Found {
		t.Errorf("found %+v, want the portal", p)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if p := Look(ended, []*url.URL{root(relay)}); p != nil {
		t.Errorf("found %+v without asking", p)
	}
}

func TestAServerIsAskedOnPort80Too(t *testing.T) {
	for server, want := range map[string]string{
		"http://adit.example.com":      "http://adit.example.com/generate_204",
		"http://192.0.2.1:80":          "http://192.0.2.1:80/generate_204",
		"http://192.0.2.1:7080":        "http://192.0.2.1:7080/generate_204 http://192.0.2.1/generate_204",
		"https://adit.example.com/sub": "https://adit.example.com/sub/generate_204 http://adit.example.com/generate_204",
		"https://[2001:db8::1]:8443":   "https://[2001:db8::1]:8443/generate_204 http://[2001:db8::1]/generate_204",
	} {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range places(u) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is asked at %v, want %s", server, got, want)
		}
	}
}
