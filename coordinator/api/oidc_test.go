package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
)

// issuer is a real OpenID Connect provider, with people of its own.
type issuer struct {
	url     string
	handler atomic.Pointer[http.Handler] // nil while the provider is away

	mu     sync.Mutex
	people map[string]*storage.User // by id; guarded by mu
	claims map[string]map[string]any
}

func (i *issuer) GetUserByID(id string) *storage.User {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.people[id]
}

func (i *issuer) GetUserByUsername(name string) *storage.User {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, u := range i.people {
		if u.Username == name {
			return u
		}
	}
	return nil
}

func (i *issuer) ExampleClientID() string { return "service" }

// person makes a person, or changes what is said of them.
func (i *issuer) person(id, name, email string, verified bool, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.people[id] = &storage.User{ID: id, Username: name, Password: "at the provider", Email: email, EmailVerified: verified}
	i.claims[id] = claims
}

// issuerStorage tells the claims that tests made up beside the standard ones.
type issuerStorage struct {
	*storage.Storage
	issuer *issuer
}

func (s issuerStorage) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin)
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	for k, v := range s.issuer.claims[subject] {
		info.AppendClaims(k, v)
	}
	return err
}

// withIssuer is a deployment that lets people in by a provider, which is away
// until it is started.
func withIssuer(t *testing.T, configure func(*auth.OIDCConfig)) (*deployment, *issuer) {
	t.Helper()
	i := &issuer{people: make(map[string]*storage.User), claims: make(map[string]map[string]any)}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := i.handler.Load(); h != nil {
			(*h).ServeHTTP(w, r)
			return
		}
		http.Error(w, "away", http.StatusBadGateway)
	}))
	t.Cleanup(web.Close)
	i.url = web.URL
	conf := auth.OIDCConfig{Issuer: i.url, ClientID: "adit", ClientSecret: "a secret", Label: "Example", LetIn: auth.Rules{SignUps: true}}
	if configure != nil {
		configure(&conf)
	}
	d := deploy(t, func(c *Config) { c.Providers = []auth.Provider{auth.NewOIDC(conf)} })
	d.addPerson(t, "root", "root@example.com", store.RoleOwner)
	return d, i
}

func (i *issuer) start(d *deployment) {
	client := storage.WebClient("adit", "a secret", d.url.String()+"/signin/with/oidc/callback")
	s := issuerStorage{storage.NewStorageWithClients(i, map[string]*storage.Client{"adit": client}), i}
	var h http.Handler = exampleop.SetupServer(i.url, s, slog.New(slog.DiscardHandler), false)
	i.handler.Store(&h)
}

var authRequest = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signInAt signs in at the provider, to which a page of ours led, and returns
// where that leads.
func (b *browser) signInAt(i *issuer, page, name string) (int, string) {
	b.t.Helper()
	id := authRequest.FindStringSubmatch(page)
	if id == nil {
		b.t.Fatalf("no form of the provider's: %s", page)
	}
	return b.post(i.url+"/login/username", "", url.Values{"id": {id[1]}, "username": {name}, "password": {"at the provider"}})
}

// come signs in by the provider.
func (b *browser) come(d *deployment, i *issuer, name string) (int, string) {
	b.t.Helper()
	status, page := b.open(d.url.String() + "/signin/with/oidc")
	if status != http.StatusOK {
		b.t.Fatalf("%d %s", status, page)
	}
	return b.signInAt(i, page, name)
}

// comesAs checks whom somebody at the provider is here.
func comesAs(t *testing.T, d *deployment, i *issuer, name, account string) store.User {
	t.Helper()
	status, page := newBrowser(t).come(d, i, name)
	if status != http.StatusOK || !strings.Contains(page, "signed in as <b>"+account+"</b>") {
		t.Fatalf("%s: %d %s, want to be signed in as %s", name, status, page, account)
	}
	u, err := d.store.UserByName(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// staysOut checks that somebody at the provider does not come in, and is told
// why.
func staysOut(t *testing.T, d *deployment, i *issuer, name, why string) {
	t.Helper()
	b := newBrowser(t)
	status, page := b.come(d, i, name)
	if status != http.StatusForbidden || !strings.Contains(page, why) {
		t.Errorf("%s: %d %s, want 403 and %q", name, status, page, why)
	}
	for _, c := range b.Jar.Cookies(d.url) {
		if c.Name == sessionCookie {
			t.Errorf("%s has a session", name)
		}
	}
}

func TestOIDCPeopleAreKnownByTheirSubject(t *testing.T) {
	d, i := withIssuer(t, nil)
	i.person("1", "Ada.Lovelace@example.org", "ada@example.org", true, nil)
	b := newBrowser(t)
	if status, page := b.open(d.url.String() + "/signin/with/oidc"); status != http.StatusServiceUnavailable {
		t.Errorf("provider away: %d %s, want 503", status, page)
	}
	i.start(d) // and nobody has to start the coordinator again

	made := comesAs(t, d, i, "Ada.Lovelace@example.org", "ada-lovelace")
	if made.Email != "ada@example.org" || made.Role != store.RoleMember || made.PasswordHash != "" {
		t.Errorf("made %+v", made)
	}
	i.person("1", "countess", "countess@example.org", true, nil)
	if again := comesAs(t, d, i, "countess", "ada-lovelace"); again.ID != made.ID || again.Email != made.Email {
		t.Errorf("with another name and address: %+v, want the same account", again)
	}
	// Her old address and name are somebody else's at the provider now.
	i.person("2", "Ada.Lovelace@example.org", "ada@example.org", true, nil)
	staysOut(t, d, i, "Ada.Lovelace@example.org", "account with your address already")
	i.person("2", "ada.lovelace", "ada2@example.org", true, nil)
	comesAs(t, d, i, "ada.lovelace", "ada-lovelace-2")

	if _, err := d.store.ChangeUser(t.Context(), made.ID, func(u *store.User) error { u.SuspendedAt = new(u.CreatedAt); return nil }); err != nil {
		t.Fatal(err)
	}
	staysOut(t, d, i, "countess", "suspended")
	if _, err := d.auth.CheckPassword(t.Context(), "ada-lovelace", ""); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("signs in without a password: %v", err)
	}
}

func TestOIDCAddressesLeadToAccountsOnlyWhereThatIsSafe(t *testing.T) {
	d, i := withIssuer(t, func(c *auth.OIDCConfig) { c.LetIn.LinkByEmail, c.LetIn.AllowUnverified = true, true })
	i.start(d)
	bob := d.addPerson(t, "bob", "bob@example.com", store.RoleMember)

	i.person("1", "liar", "bob@example.com", false, nil)
	staysOut(t, d, i, "liar", "account with your address already")
	i.person("2", "climber", "root@example.com", true, nil)
	staysOut(t, d, i, "climber", "account with your address already")
	i.person("3", "robert", "Bob@Example.com", true, nil)
	if u := comesAs(t, d, i, "robert", "bob"); u.ID != bob.ID {
		t.Errorf("verified: %+v, want bob", u)
	}
	i.person("4", "twin", "bob@example.com", true, nil)
	staysOut(t, d, i, "twin", "somebody else of this provider")
	i.person("5", "carol", "carol@example.com", false, nil)
	comesAs(t, d, i, "carol", "carol")
	i.person("6", "injector", "x@example.com\r\nBcc: y@example.com", true, nil)
	staysOut(t, d, i, "injector", "is none")
	i.person("7", "long", strings.Repeat("x", 300)+"@example.com", true, nil)
	staysOut(t, d, i, "long", "is none")
}

func TestOIDCRulesKeepPeopleOut(t *testing.T) {
	d, i := withIssuer(t, func(c *auth.OIDCConfig) {
		c.LetIn.EmailDomains, c.GroupsClaim, c.AllowedGroups = []string{"example.org"}, "groups", []string{"staff"}
	})
	i.start(d)
	staff := map[string]any{"groups": []string{"staff"}}
	i.person("1", "unverified", "a@example.org", false, staff)
	staysOut(t, d, i, "unverified", "not verified")
	i.person("2", "foreign", "a@example.com", true, staff)
	staysOut(t, d, i, "foreign", "domain")
	i.person("3", "guest", "a@example.org", true, map[string]any{"groups": []string{"guests"}})
	staysOut(t, d, i, "guest", "none of the groups")
	i.person("4", "nobody", "a@example.org", true, nil)
	staysOut(t, d, i, "nobody", "none of the groups")
	i.person("5", "member", "a@example.org", true, staff)
	comesAs(t, d, i, "member", "member")
}

func TestOIDCClaimsMakeGroupsAndRoles(t *testing.T) {
	d, i := withIssuer(t, func(c *auth.OIDCConfig) {
		c.GroupsClaim, c.GroupMapping = "groups", map[string]string{"/eng/backend": "backend"}
		c.RolesClaim, c.RoleMapping = "roles", map[string]store.Role{"templates": store.RoleTemplateAdmin, "audit": store.RoleAuditor}
	})
	i.start(d)
	organization := store.Organization{ID: store.DefaultOrganization, Name: "default"}
	for _, g := range []string{"backend", "frontend", "choir"} {
		if _, err := d.store.CreateGroup(t.Context(), organization, g); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) (groups []string) {
		t.Helper()
		all, err := d.store.Groups(t.Context(), store.Scope{Everywhere: true}, store.Page{Max: 99})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range all {
			members, err := d.store.GroupMembers(t.Context(), g.ID, store.Page{Max: 99})
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(members, func(m store.GroupMember) bool { return m.Username == name }) {
				groups = append(groups, g.Name)
			}
		}
		return groups
	}
	i.person("1", "eve", "eve@example.org", true, map[string]any{
		"groups": []string{"/eng/backend", "Frontend", "unknown"}, "roles": []string{"audit", "templates", "owner"},
	})
	eve := comesAs(t, d, i, "eve", "eve")
	if got := in("eve"); !slices.Equal(got, []string{"backend", "frontend"}) || eve.Role != store.RoleTemplateAdmin {
		t.Errorf("%v, %s, want backend and frontend, and the wider of her roles", got, eve.Role)
	}
	choir, err := d.store.GroupByName(t.Context(), store.DefaultOrganization, "choir")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.AddGroupMember(t.Context(), choir.ID, eve.ID, nil); err != nil {
		t.Fatal(err)
	}
	i.person("1", "eve", "eve@example.org", true, map[string]any{"groups": []string{"Frontend"}, "roles": "audit"})
	eve = comesAs(t, d, i, "eve", "eve")
	if got := in("eve"); !slices.Equal(got, []string{"choir", "frontend"}) || eve.Role != store.RoleAuditor {
		t.Errorf("%v, %s, want frontend and the choir, where people put her", got, eve.Role)
	}
	// Groups of other organizations, too, for those whom people made members there.
	o, err := d.store.CreateOrganization(t.Context(), "research", eve.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []string{"lab", "backend"} {
		if _, err := d.store.CreateGroup(t.Context(), o, g); err != nil {
			t.Fatal(err)
		}
	}
	i.person("1", "eve", "eve@example.org", true, map[string]any{"groups": []string{"Research/Lab", "/eng/backend"}})
	i.person("2", "ida", "ida@example.org", true, map[string]any{"groups": []string{"research/lab"}})
	comesAs(t, d, i, "eve", "eve")
	comesAs(t, d, i, "ida", "ida")
	if got := in("eve"); !slices.Equal(got, []string{"backend", "choir", "lab"}) {
		t.Errorf("%v, want the default organization's backend, the choir, and research's lab", got)
	}
	if got := in("ida"); len(got) != 0 {
		t.Errorf("ida, who is in no other organization, is in %v", got)
	}
	i.person("1", "eve", "eve@example.org", true, nil)
	if eve = comesAs(t, d, i, "eve", "eve"); len(in("eve")) != 1 || eve.Role != store.RoleMember {
		t.Errorf("without claims: %v, %s", in("eve"), eve.Role)
	}
}

// A sign-in ends in the browser where it began, once.
func TestOIDCFlowsBelongToOneBrowser(t *testing.T) {
	d, i := withIssuer(t, nil)
	i.start(d)
	i.person("1", "ada", "ada@example.org", true, nil)
	caught := ""
	thief := newBrowser(t) // stops before the code comes back to us
	thief.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Host == d.url.Host && req.URL.Path == "/signin/with/oidc/callback" {
			caught = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	thief.come(d, i, "ada")
	if caught == "" {
		t.Fatal("no code came back")
	}
	if status, page := newBrowser(t).open(caught); status != http.StatusForbidden || !strings.Contains(page, "not begun in this browser") {
		t.Errorf("in a browser that began nothing: %d %s", status, page)
	}
	other := newBrowser(t)
	other.open(d.url.String() + "/signin/with/oidc") // begins one of its own
	if status, page := other.open(caught); status != http.StatusForbidden || !strings.Contains(page, "not begun in this browser") {
		t.Errorf("in a browser that began another: %d %s", status, page)
	}
	thief.CheckRedirect = nil
	if status, page := thief.open(caught); status != http.StatusOK || !strings.Contains(page, "signed in as <b>ada</b>") {
		t.Errorf("where it began: %d %s", status, page)
	}
	if status, page := thief.open(caught); status != http.StatusForbidden {
		t.Errorf("a second time: %d %s", status, page)
	}
}

// What the provider answers is bound to the flow: by its nonce, and its code by
// the verifier.
func TestOIDCAnswersBelongToTheirFlow(t *testing.T) {
	d, i := withIssuer(t, nil)
	i.start(d)
	i.person("1", "ada", "ada@example.org", true, nil)
	provider := auth.NewOIDC(auth.OIDCConfig{Issuer: i.url, ClientID: "adit", ClientSecret: "a secret"})
	redirect := d.url.String() + "/signin/with/oidc/callback"
	for name, change := range map[string]func(*auth.Flow){
		"another nonce":    func(f *auth.Flow) { f.Nonce = "x" },
		"no nonce":         func(f *auth.Flow) { f.Nonce = "" },
		"another verifier": func(f *auth.Flow) { f.Verifier = auth.NewFlow().Verifier },
		"nothing":          func(*auth.Flow) {},
	} {
		f := auth.NewFlow()
		to, err := provider.Begin(t.Context(), redirect, f)
		if err != nil {
			t.Fatal(err)
		}
		code := ""
		b := newBrowser(t)
		b.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
			if code = req.URL.Query().Get("code"); code != "" && req.URL.Host == d.url.Host {
				return http.ErrUseLastResponse
			}
			return nil
		}
		_, page := b.open(to)
		b.signInAt(i, page, "ada")
		change(&f)
		p, err := provider.Finish(t.Context(), redirect, code, f)
		var refused *auth.Refused
		if name == "nothing" {
			if err != nil || p.Subject != "1" || p.Email != "ada@example.org" || !p.EmailVerified {
				t.Errorf("unchanged: %+v, %v", p, err)
			}
		} else if !errors.As(err, &refused) {
			t.Errorf("%s: %+v, %v, want to be refused", name, p, err)
		}
	}
}

func TestOIDCIsLinkedByWhoeverIsSignedIn(t *testing.T) {
	d, i := withIssuer(t, nil)
	i.start(d)
	bob := d.addPerson(t, "bob", "bob@example.com", store.RoleMember)
	i.person("1", "robert", "robert@example.org", true, nil)
	b := newBrowser(t)
	b.signIn(d, "bob")
	if status, _ := b.post(d.url.String()+"/signin/link/oidc", "https://evil.example", nil); status != http.StatusForbidden {
		t.Errorf("another site links its account: %d", status)
	}
	const offer, told = `action="/signin/link/oidc"`, "is linked to this account"
	if _, page := b.open(d.url.String() + "/signin"); !strings.Contains(page, offer) || strings.Contains(page, told) {
		t.Errorf("who is not linked is not offered it: %s", page)
	}
	_, page := b.post(d.url.String()+"/signin/link/oidc", "", nil)
	if status, page := b.signInAt(i, page, "robert"); status != http.StatusOK || !strings.Contains(page, "signed in as <b>bob</b>") ||
		strings.Contains(page, offer) || !strings.Contains(page, told) {
		t.Errorf("%d %s, want bob linked, and not offered it again", status, page)
	}
	if status, methods := b.open(d.url.String() + "/api/v1/login/methods"); status != http.StatusOK || !strings.Contains(methods, `"linked":true`) {
		t.Errorf("the ways to sign in, with bob's session: %d %s", status, methods)
	}
	if m, err := d.client("").SignInMethods(t.Context()); err != nil || len(m.Providers) != 1 || m.Providers[0].Linked {
		t.Errorf("the ways to sign in, of a stranger: %+v, %v", m, err)
	}
	if u := comesAs(t, d, i, "robert", "bob"); u.ID != bob.ID {
		t.Errorf("robert is %+v, want bob", u)
	}
	// Nobody else can be linked to whom bob is.
	d.addPerson(t, "eve", "eve@example.com", store.RoleMember)
	e := newBrowser(t)
	e.signIn(d, "eve")
	_, page = e.post(d.url.String()+"/signin/link/oidc", "", nil)
	if status, page := e.signInAt(i, page, "robert"); status != http.StatusForbidden {
		t.Errorf("eve is bob: %d %s", status, page)
	}
}
