package sdk

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// against returns a client of a coordinator that answers as h does.
func against(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	u, err := url.Parse(web.URL + "/adit")
	if err != nil {
		t.Fatal(err)
	}
	return New(u, "secret")
}

// always answers everything with one status and body.
func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRequest(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.EscapedPath(), "/adit/api/v1/workspaces/a%2F..%2Fb/c%20d%3Fe"; got != want {
			t.Errorf("path %s, want %s", got, want)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
		_, _ = io.WriteString(w, `{"name":"c d?e"}`)
	})
	if w, err := c.Workspace(t.Context(), "a/../b", "c d?e"); err != nil || w.Name != "c d?e" {
		t.Errorf("got %+v, %v", w, err)
	}
}

func TestPathsStayWhereTheyBelong(t *testing.T) {
	c := against(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) })
	for _, id := range []string{"", ".", ".."} {
		if err := c.RevokeToken(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", id, err)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		is     error
		text   string
	}{
		{"not signed in", 401, `{"status":401,"detail":"no"}`, ErrUnauthorized, "no"},
		{"missing", 404, `{"status":404,"title":"Not Found"}`, ErrNotFound, "Not Found"},
		{"conflict", 409, `{"status":409,"detail":"taken"}`, ErrConflict, "taken"},
		{"invalid", 422, `{"status":422,"detail":"validation failed","errors":[{"message":"too long","location":"body.name"},{"message":"odd","location":"path.id"}]}`,
			nil, "validation failed: name: too long; odd"},
		{"a proxy's page", 502, "<html>Bad Gateway</html>", nil, "Bad Gateway"},
		{"a lie about the status", 403, `{"status":404,"detail":"x"}`, nil, "x"},
		{"nothing", 500, "", nil, "Internal Server Error"},
	} {
		_, err := against(t, always(c.status, c.body)).Me(t.Context())
		var e *Error
		if !errors.As(err, &e) || e.Status != c.status || err.Error() != c.text {
			t.Errorf("%s: %#v, want status %d and %q", c.name, err, c.status, c.text)
		}
		for _, kind := range []error{ErrUnauthorized, ErrNotFound, ErrConflict} {
			if errors.Is(err, kind) != (kind == c.is) {
				t.Errorf("%s: errors.Is(%v) is %v", c.name, kind, errors.Is(err, kind))
			}
		}
	}
}

func TestWhatIsNoCoordinatorIsNamed(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page":  always(200, "<html>Welcome to nginx!</html>"),
		"nothing": always(200, ""),
		"an endless stream": func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range maxResponse>>20 + 1 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
	} {
		c := against(t, h)
		if _, err := c.Me(t.Context()); err == nil || !strings.Contains(err.Error(), c.URL().String()) {
			t.Errorf("%s: %v, want an error that names %s", name, err, c.URL())
		}
	}
}

func TestTheTokenFollowsNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	t.Cleanup(other.Close)
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusMovedPermanently)
	})
	if _, err := c.Me(t.Context()); err == nil || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("got %v, want an error that names %s", err, other.URL)
	}
}

func TestNoAnswerIsNoProblem(t *testing.T) {
	c := against(t, always(200, "{}"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Me(ctx)
	var e *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestAgentByName(t *testing.T) {
	one := Workspace{Name: "dev", Agents: []Agent{{Name: "main"}}}
	two := Workspace{Name: "dev", Agents: []Agent{{Name: "main"}, {Name: "gpu"}}}
	for _, c := range []struct {
		w     Workspace
		agent string
		want  string // "" for an error
	}{
		{one, "", "main"}, {one, "MAIN", "main"}, {one, "gpu", ""},
		{two, "", ""}, {two, "gpu", "gpu"}, {Workspace{Name: "dev"}, "", ""},
	} {
		got, err := c.w.Agent(WorkspaceName{Owner: "me", Name: "dev", Agent: c.agent})
		if got.Name != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%d agents, %q: %q, %v, want %q", len(c.w.Agents), c.agent, got.Name, err, c.want)
		}
	}
}
