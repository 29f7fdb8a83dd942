package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// github answers as GitHub's documentation says it does, about one person who
// lets everything through.
type github struct {
	url       *url.URL
	id        int
	login     string
	emails    []map[string]any
	state     string // of their membership
	teams     []string
	challenge string // of the last sign-in
}

func newGitHub(t *testing.T) *github {
	t.Helper()
	g := &github{}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	// signedIn is what only those with the token get to see.
	signedIn := func(f func() any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer gho_token" || r.Header.Get("Accept") != "application/vnd.github+json" {
				http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
				return
			}
			answer(w, f())
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		g.challenge = q.Get("code_challenge")
		if q.Get("client_id") != "adit" || !strings.Contains(q.Get("scope"), "read:org") || q.Get("code_challenge_method") != "S256" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		back, err := url.Parse(q.Get("redirect_uri"))
		if err != nil {
			t.Error(err)
		}
		back.RawQuery = url.Values{"code": {"a code"}, "state": {q.Get("state")}}.Encode()
		http.Redirect(w, r, back.String(), http.StatusFound)
	})
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("client_secret") != "a secret" || r.FormValue("code") != "a code" || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge {
			answer(w, map[string]string{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."})
			return
		}
		answer(w, map[string]string{"access_token": "gho_token", "token_type": "bearer", "scope": "read:user"})
	})
	mux.HandleFunc("GET /api/v3/user", signedIn(func() any { return map[string]any{"id": g.id, "login": g.login} }))
	mux.HandleFunc("GET /api/v3/user/emails", signedIn(func() any { return g.emails }))
	mux.HandleFunc("GET /api/v3/user/memberships/orgs", signedIn(func() any {
		return []map[string]any{{"state": g.state, "organization": map[string]any{"login": "Example-Org"}}}
	}))
	mux.HandleFunc("GET /api/v3/user/teams", signedIn(func() any {
		list := []map[string]any{}
		for _, team := range g.teams {
			list = append(list, map[string]any{"slug": team, "organization": map[string]any{"login": "Example-Org"}})
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
		{[]string{"backend", "scientists", "choir"}, 1, 0}, // not in research yet
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
