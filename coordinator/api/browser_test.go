package api

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// browser is somebody's, with their cookies. Like any, it says where the forms
// that it sends come from.
type browser struct {
	t *testing.T
	http.Client
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, Client: http.Client{Jar: jar}}
}

// send sends a request and returns the status and the page that it leads to.
func (b *browser) send(req *http.Request) (int, string) {
	b.t.Helper()
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func (b *browser) open(target string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, target, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(req)
}

// post sends a form of a page of some site; "" is a page of the target's.
func (b *browser) post(target, from string, form url.Values) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if from == "" {
		from = req.URL.Scheme + "://" + req.URL.Host
	}
	req.Header.Set("Origin", from)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(req)
}

// addPerson makes a user with a password.
func (d *deployment) addPerson(t *testing.T, name, email string, role store.Role) store.User {
	t.Helper()
	hash, err := d.auth.HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.store.CreateUser(t.Context(), store.NewUser{Username: name, Email: email, PasswordHash: hash, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (b *browser) signIn(d *deployment, name string) (int, string) {
	b.t.Helper()
	return b.post(d.url.String()+"/signin", "", url.Values{"username": {name}, "password": {"correct horse"}})
}

func TestBrowsersHaveASessionThatOtherSitesCannotUse(t *testing.T) {
	d := deploy(t)
	d.addPerson(t, "alice", "alice@example.com", store.RoleMember)
	b := newBrowser(t)
	if status, page := b.post(d.url.String()+"/signin", "https://evil.example", url.Values{"username": {"alice"}, "password": {"correct horse"}}); status != http.StatusForbidden {
		t.Errorf("another site signs somebody in: %d %s", status, page)
	}
	if status, page := b.post(d.url.String()+"/signin", "", url.Values{"username": {"alice"}, "password": {"wrong"}}); status != http.StatusUnauthorized || !strings.Contains(page, "Wrong user name") {
		t.Errorf("wrong password: %d %s", status, page)
	}
	if status, page := b.signIn(d, "alice"); status != http.StatusOK || !strings.Contains(page, "signed in as <b>alice</b>") {
		t.Fatalf("%d %s", status, page)
	}
	cookies := b.Jar.Cookies(d.url)
	if len(cookies) != 1 || cookies[0].Name != sessionCookie {
		t.Fatalf("cookies: %v", cookies)
	}

	for _, c := range []struct {
		name, method string
		header       map[string]string
		want         int
	}{
		{"reading, from anywhere", "GET", map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
		{"writing, from here", "POST", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": d.url.String()}, 201},
		{"writing, an old browser from here", "POST", map[string]string{"Origin": d.url.String()}, 201},
		{"writing, from another site", "POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403},
		{"writing, from a workspace's app on a name below", "POST", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://app." + d.url.Host}, 403},
		{"writing, from another port", "POST", map[string]string{"Origin": "http://127.0.0.1:1"}, 403},
		{"writing, from a frame without an origin", "POST", map[string]string{"Origin": "null"}, 403},
		{"writing, from what is no browser", "POST", nil, 403},
		{"writing, with a token of its own that is bad", "POST", map[string]string{"Origin": d.url.String(), "Authorization": "Bearer x"}, 401},
	} {
		path, body := "/api/v1/users/me", ""
		if c.method == "POST" {
			path, body = "/api/v1/tokens", `{"name":"x"}`
		}
		req, err := http.NewRequestWithContext(t.Context(), c.method, d.url.String()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for k, v := range c.header {
			req.Header.Set(k, v)
		}
		if status, page := b.send(req); status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, status, page, c.want)
		}
	}

	if status, _ := b.post(d.url.String()+"/signin/out", "https://evil.example", nil); status != http.StatusForbidden {
		t.Errorf("another site signs somebody out: %d", status)
	}
	if status, page := b.post(d.url.String()+"/signin/out", "", nil); status != http.StatusOK || strings.Contains(page, "signed in as") {
		t.Errorf("signed out: %d %s", status, page)
	}
	if left := b.Jar.Cookies(d.url); len(left) != 0 {
		t.Errorf("cookies left: %v", left)
	}
	resp, body := d.send(t, "GET", "/api/v1/users/me", "Bearer "+cookies[0].Value, nil)
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session lives on: %d %s", resp.StatusCode, body)
	}
}

func TestSessionCookiesAreForThisHostAloneOverHTTPS(t *testing.T) {
	d := deploy(t, func(c *Config) { c.AccessURL = &url.URL{Scheme: "https", Host: "adit.example.com"} })
	d.addPerson(t, "alice", "alice@example.com", store.RoleMember)
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.url.String()+"/api/v1/login",
		strings.NewReader(`{"username":"alice","password":"correct horse","cookie":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "https://adit.example.com")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || strings.Contains(string(raw), "adit_") {
		t.Fatalf("%d %s, %v, want a session without its token", resp.StatusCode, raw, err)
	}
	c := resp.Cookies()
	if len(c) != 1 || c[0].Name != "__Host-adit_session" || !c[0].Secure || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].Path != "/" || c[0].Domain != "" {
		t.Errorf("cookies: %v", c)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for _, next := range []string{"//evil.example", "https://evil.example", `/\evil.example`, "javascript:alert(1)", "evil", "", "/a\nSet-Cookie: x=y"} {
		if got := local(next); got != "/signin" {
			t.Errorf("%q leads to %q", next, got)
		}
	}
	if got := local("/signin/device?code=ABCD"); got != "/signin/device?code=ABCD" {
		t.Errorf("a page of ours leads to %q", got)
	}
}

// Whoever has to wait is told how long, in the header that programs look at and in
// words; those who wait for their own mistakes, by page or by program, learn the same.
func TestWhoIsLockedOutIsToldForHowLong(t *testing.T) {
	d := deploy(t)
	d.addPerson(t, "alice", "alice@example.com", store.RoleMember)
	wrong := url.Values{"username": {"alice"}, "password": {"wrong horse"}}
	tries := 0
	for last := http.StatusUnauthorized; last == http.StatusUnauthorized; tries++ {
		if last, _ = newBrowser(t).post(d.url.String()+"/signin", "", wrong); tries == signInsMax/2 {
			t.Fatalf("after %d wrong passwords: %d, want 429", tries, last)
		}
	}
	resp, body := d.send(t, "POST", "/api/v1/login", "", strings.NewReader(`{"username":"alice","password":"correct horse"}`))
	wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || resp.StatusCode != http.StatusTooManyRequests || wait < 5 || wait > 15 {
		t.Errorf("%d, Retry-After %q, want 429 and up to 15 s", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if p := readProblem(t, resp, body); !strings.Contains(p.Detail, strconv.Itoa(wait)+"s") {
		t.Errorf("%q does not say %d s", p.Detail, wait)
	}
	_, err = d.client("").Login(t.Context(), sdk.Login{Username: "alice", Password: "correct horse"})
	var problem *sdk.Error
	if !errors.As(err, &problem) || problem.RetryAfter < 5*time.Second || problem.RetryAfter > 15*time.Second {
		t.Errorf("the client: %+v, want how long to wait", problem)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.url.String()+"/signin", strings.NewReader(wrong.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", d.url.String())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	page, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if wait, err := strconv.Atoi(page.Header.Get("Retry-After")); err != nil || page.StatusCode != http.StatusTooManyRequests || wait < 5 || wait > 15 {
		t.Errorf("the page: %d, Retry-After %q, want 429 and up to 15 s", page.StatusCode, page.Header.Get("Retry-After"))
	}
}

// A name waits after wrong passwords, an address after too many names.
func TestGuessingFromOneAddressEnds(t *testing.T) {
	d := deploy(t)
	last := 0
	for i := range signInsMax + 1 {
		resp, _ := d.send(t, "POST", "/api/v1/login", "", strings.NewReader(`{"username":"`+strings.Repeat("x", 1+i)+`","password":""}`))
		if last = resp.StatusCode; last == http.StatusTooManyRequests && i < signInsMax/2 {
			t.Fatalf("refused after %d", i)
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after %d attempts: %d, want 429", signInsMax, last)
	}
}
