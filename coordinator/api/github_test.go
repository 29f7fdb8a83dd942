package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// github answers as GitHub's documentation says that it does, about one person who
// lets everything through that is not in denied.
type github struct {
	url     *url.URL
	id      int
	login   string
	emails  []map[string]any
	state   string // of their membership
	teams   []string
	denied  string // a scope that they do not grant
	limited bool   // that there were too many questions of late
	refuse  string // an error of the exchange of codes

	// Of the sign-in under way.
	challenge, redirect, scopes, code string
	codes                             int
}

func newGitHub(t *testing.T) *github {
	t.Helper()
	g := &github{}
	write := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	message := func(text string) map[string]string {
		return map[string]string{"message": text, "documentation_url": "https://docs.github.com/rest"}
	}
	// signedIn is what only those with the token get to see, if one of the scopes
	// was granted; lists come in pages.
	signedIn := func(status int, scopes []string, f func(r *http.Request) any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h := r.Header
			w.Header().Set("X-OAuth-Scopes", strings.ReplaceAll(g.scopes, ",", ", "))
			w.Header().Set("X-RateLimit-Remaining", "4999")
			switch {
			case h.Get("User-Agent") == "":
				write(w, http.StatusForbidden, message("Request forbidden by administrative rules. Please make sure your request has a User-Agent header."))
			case h.Get("Authorization") != "Bearer gho_token":
				write(w, http.StatusUnauthorized, message("Bad credentials"))
			case h.Get("Accept") != "application/vnd.github+json" || h.Get("X-GitHub-Api-Version") != "2022-11-28":
				write(w, http.StatusBadRequest, message("unsupported version"))
			case g.limited:
				w.Header().Set("X-RateLimit-Remaining", "0")
				w.Header().Set("X-RateLimit-Reset", "1700000000")
				write(w, http.StatusForbidden, message("API rate limit exceeded for user ID 42."))
			case len(scopes) > 0 && !slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(strings.Split(g.scopes, ","), s) }):
				write(w, status, message("Not Found"))
			default:
				v := f(r)
				if list, ok := v.([]map[string]any); ok {
					v = pagedBy(w, r, g.url, list)
				}
				write(w, http.StatusOK, v)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != "adit" || q.Get("state") == "" || q.Get("code_challenge_method") != "S256" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		back, err := url.Parse(q.Get("redirect_uri"))
		if err != nil {
			t.Error(err)
		}
		g.codes++
		g.challenge, g.redirect, g.code = q.Get("code_challenge"), q.Get("redirect_uri"), fmt.Sprint("code ", g.codes)
		granted := slices.DeleteFunc(strings.Fields(q.Get("scope")), func(s string) bool { return s == g.denied })
		g.scopes = strings.Join(granted, ",")
		back.RawQuery = url.Values{"code": {g.code}, "state": {q.Get("state")}}.Encode()
		http.Redirect(w, r, back.String(), http.StatusFound)
	})
	// Whatever is wrong, the answer is a 200; it is a form unless JSON is asked for.
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		out := url.Values{"access_token": {"gho_token"}, "token_type": {"bearer"}, "scope": {g.scopes}}
		fail := func(code string) {
			out = url.Values{"error": {code}, "error_description": {"It is " + code + "."}, "error_uri": {"/apps/managing-oauth-apps/"}}
		}
		switch {
		case r.FormValue("client_id") != "adit" || r.FormValue("client_secret") != "a secret":
			fail("incorrect_client_credentials")
		case r.FormValue("redirect_uri") != g.redirect:
			fail("redirect_uri_mismatch")
		case r.FormValue("code") != g.code || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge:
			fail("bad_verification_code")
		case g.refuse != "":
			fail(g.refuse)
		}
		g.code = "" // it is good once
		if r.Header.Get("Accept") != "application/json" {
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			_, _ = io.WriteString(w, out.Encode())
			return
		}
		answer := make(map[string]string)
		for k := range out {
			answer[k] = out.Get(k)
		}
		write(w, http.StatusOK, answer)
	})
	// The address is null unless they have made it public.
	mux.HandleFunc("GET /api/v3/user", signedIn(0, nil, func(*http.Request) any { return map[string]any{"id": g.id, "login": g.login, "email": nil} }))
	mux.HandleFunc("GET /api/v3/user/emails", signedIn(http.StatusNotFound, []string{"user", "user:email"}, func(*http.Request) any { return g.emails }))
	mux.HandleFunc("GET /api/v3/user/memberships/orgs", signedIn(http.StatusForbidden, []string{"read:org"}, func(r *http.Request) any {
		list := []map[string]any{}
		if want := r.URL.Query().Get("state"); want == "" || want == g.state {
			list = append(list, map[string]any{"state": g.state, "role": "member", "organization": map[string]any{"login": "Example-Org", "id": 7}})
		}
		return list
	}))
	mux.HandleFunc("GET /api/v3/user/teams", signedIn(http.StatusNotFound, []string{"user", "read:org"}, func(*http.Request) any {
		list := []map[string]any{}
		for _, team := range g.teams {
			list = append(list, map[string]any{"slug": team, "name": strings.ToUpper(team), "organization": map[string]any{"login": "Example-Org"}})
		}
		return list
	}))
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	var err error
	if g.url, err = url.Parse(web.URL); err != nil {
		t.Fatal(err)
	}
	return g
}

// pagedBy cuts a page out of a list and says in the answer's Link where the next is.
// Each lacks one that whoever asks may not see, as pages may: that one is short does
// not make it the last.
func pagedBy(w http.ResponseWriter, r *http.Request, base *url.URL, list []map[string]any) []map[string]any {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
			return n
		}
		return otherwise
	}
	size := max(1, min(100, number("per_page", 30))-1)
	page := number("page", 1)
	first, last := min(len(list), (page-1)*size), min(len(list), page*size)
	if last < len(list) {
		next := *base.JoinPath(r.URL.Path)
		next.RawQuery = fmt.Sprintf("page=%d", page+1)
		w.Header().Set("Link", "<"+next.String()+`>; rel="next", <`+next.String()+`>; rel="last"`)
	}
	return list[first:last]
}

func TestGitHub(t *testing.T) {
	g := newGitHub(t)
	d := deploy(t, func(c *Config) {
		c.Providers = []auth.Provider{auth.NewGitHub(auth.GitHubConfig{
			ClientID: "adit", ClientSecret: "a secret", URL: g.url, Organizations: []string{"example-org"}, LetIn: auth.Rules{SignUps: true},
		})}
	})
	come := func() (int, string) {
		t.Helper()
		return newBrowser(t).open(d.url.String() + "/signin/with/github")
	}
	*g = github{url: g.url, id: 42, login: "Octo-Cat", state: "active", emails: []map[string]any{
		{"email": "other@example.com", "primary": false, "verified": true},
		{"email": "octo@example.com", "primary": true, "verified": true},
	}}
	if status, page := come(); status != http.StatusForbidden || !strings.Contains(page, "no owner yet") {
		t.Errorf("to an empty deployment: %d %s", status, page)
	}
	d.addPerson(t, "root", "root@example.com", store.RoleOwner)
	if status, page := come(); status != http.StatusOK || !strings.Contains(page, "signed in as <b>octo-cat</b>") {
		t.Fatalf("%d %s", status, page)
	}
	u, err := d.store.UserByName(t.Context(), "octo-cat")
	if err != nil || u.Email != "octo@example.com" || u.Role != store.RoleMember {
		t.Errorf("%+v, %v", u, err)
	}
	g.login = "renamed"
	if status, page := come(); status != http.StatusOK || !strings.Contains(page, "signed in as <b>octo-cat</b>") {
		t.Errorf("with another login: %d %s", status, page)
	}
	// The login's next holder is somebody else.
	g.id, g.login = 43, "Octo-Cat"
	if status, page := come(); status != http.StatusForbidden || !strings.Contains(page, "account with your address") {
		t.Errorf("the login's next holder: %d %s", status, page)
	}
	g.emails[1]["email"], g.emails[1]["verified"] = "new@example.com", false
	if status, page := come(); status != http.StatusForbidden || !strings.Contains(page, "not verified") {
		t.Errorf("unverified: %d %s", status, page)
	}
	g.id = 42
	for _, state := range []string{"pending", ""} {
		g.state = state
		if status, page := come(); status != http.StatusForbidden || !strings.Contains(page, "none of the GitHub organizations") {
			t.Errorf("membership %q: %d %s", state, status, page)
		}
	}
	if status, _ := newBrowser(t).open(d.url.String() + "/signin/with/github/callback?error=access_denied&state=x"); status != http.StatusForbidden {
		t.Errorf("turned away by GitHub: %d", status)
	}
}

// many are the names of so many teams that nobody maps.
func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("team-", i)
	}
	return names
}

// Teams make groups as claims do: what GitHub gave it takes, and no more.
func TestGitHubTeamsMakeGroups(t *testing.T) {
	g := newGitHub(t)
	d := deploy(t, func(c *Config) {
		c.Providers = []auth.Provider{auth.NewGitHub(auth.GitHubConfig{
			ClientID: "adit", ClientSecret: "a secret", URL: g.url, LetIn: auth.Rules{SignUps: true},
			Teams: map[string]string{"example-org/backend": "backend", "example-org/scientists": "research/lab"},
		})}
	})
	ctx := t.Context()
	root := d.add(t, "root", store.RoleOwner)
	d.research(t, root, nil)
	for _, req := range []sdk.CreateGroup{{Name: "backend"}, {Name: "lab", Organization: "research"}} {
		if _, err := root.CreateGroup(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	*g = github{url: g.url, id: 42, login: "octo", emails: []map[string]any{{"email": "octo@example.com", "primary": true, "verified": true}}}
	for _, c := range []struct {
		teams        []string
		backend, lab int
	}{
		{append(many(250), "backend", "scientists"), 1, 0}, // not in research yet
		{[]string{"backend", "scientists"}, 1, 1},
		{[]string{"scientists"}, 0, 1},
		{nil, 0, 0},
	} {
		g.teams = c.teams
		if status, page := newBrowser(t).open(d.url.String() + "/signin/with/github"); status != http.StatusOK {
			t.Fatalf("%d %s", status, page)
		}
		backend, err := root.GroupMembers(ctx, "default", "backend")
		if err != nil {
			t.Fatal(err)
		}
		lab, err := root.GroupMembers(ctx, "research", "lab")
		if err != nil || len(backend) != c.backend || len(lab) != c.lab {
			t.Errorf("of teams %v: backend %v, lab %v, %v", c.teams, backend, lab, err)
		}
		if err := root.SetMember(ctx, "research", "octo", "member"); err != nil {
			t.Fatal(err)
		}
	}
}

// What GitHub has against a sign-in is told to whoever can mend it: to them, or to
// the operator by the log.
func TestWhatGitHubDoesNotLetThrough(t *testing.T) {
	g := newGitHub(t)
	var log lockedText
	secret := "a secret"
	from := func(secret string) *deployment {
		return deploy(t, func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Providers = []auth.Provider{auth.NewGitHub(auth.GitHubConfig{
				ClientID: "adit", ClientSecret: secret, URL: g.url, Organizations: []string{"example-org"}, Teams: map[string]string{"example-org/t": "t"}, LetIn: auth.Rules{SignUps: true},
			})}
		})
	}
	d, wrong := from(secret), from("another secret")
	well := github{url: g.url, id: 42, login: "octo", state: "active", emails: []map[string]any{{"email": "octo@example.com", "primary": true, "verified": true}}}
	for name, c := range map[string]struct {
		at     *deployment
		change func(*github)
		status int
		page   string
		log    string
	}{
		"no address is granted":       {d, func(g *github) { g.denied = "user:email" }, 403, "does not tell your e-mail addresses", ""},
		"no organization is granted":  {d, func(g *github) { g.denied = "read:org" }, 403, "does not tell your organizations", ""},
		"it was asked too often":      {d, func(g *github) { g.limited = true }, 503, "does not work right now", "rate limit exceeded"},
		"the address is not verified": {d, func(g *github) { g.refuse = "unverified_user_email" }, 403, "has not verified your e-mail address", ""},
		"the code is good no more":    {d, func(g *github) { g.refuse = "bad_verification_code" }, 403, "try again", ""},
		"the app is suspended":        {d, func(g *github) { g.refuse = "application_suspended" }, 503, "does not work right now", "application_suspended"},
		"the secret is wrong":         {wrong, func(*github) {}, 503, "does not work right now", "incorrect_client_credentials"},
	} {
		log.Reset()
		*g = well
		c.change(g)
		status, page := newBrowser(t).open(c.at.url.String() + "/signin/with/github")
		if status != c.status || !strings.Contains(page, c.page) {
			t.Errorf("%s: %d %s, want %d and %q", name, status, page, c.status, c.page)
		}
		if text := log.String(); !strings.Contains(text, c.log) || strings.Contains(text, "secret") || strings.Contains(text, "gho_token") {
			t.Errorf("%s: the log says %q, want %q", name, text, c.log)
		}
	}
}

// lockedText is a log that several write to.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lockedText) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}
