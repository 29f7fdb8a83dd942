package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// readProblem checks that an answer is a complete problem and returns it.
func readProblem(t *testing.T, resp *http.Response, body string) sdk.Error {
	t.Helper()
	var p sdk.Error
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Errorf("%d: %.200s is no problem: %v", resp.StatusCode, body, err)
		return p
	}
	if ct := resp.Header.Get("Content-Type"); ct != problemJSON {
		t.Errorf("%d: content type %q", resp.StatusCode, ct)
	}
	if p.Status != resp.StatusCode || p.Code == "" || p.Type != typePrefix+p.Code || p.Title == "" || p.Detail == "" {
		t.Errorf("%d: %.500s is no complete problem", resp.StatusCode, body)
	}
	return p
}

// Programs tell problems apart by their codes, so the codes stay.
func TestProblemsHaveCodes(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	makeWorkspace(t, alice, "dev")
	token, owner := "Bearer "+alice.Token(), "Bearer "+d.add(t, "root", store.RoleOwner).Token()
	for _, c := range []struct {
		method, path, token, body string
		status                    int
		code                      string
	}{
		{"GET", "/api/v1/users/me", "", "", 401, "unauthenticated"},
		{"GET", "/api/v1/workspaces?owner=all", token, "", 403, "forbidden"},
		{"GET", "/api/v1/nothing", token, "", 404, "not-found"},
		{"GET", "/api/v1/workspaces/me/none", token, "", 404, "not-found"},
		{"PATCH", "/api/v1/workspaces", token, "", 405, "method-not-allowed"},
		{"POST", "/api/v1/workspaces", token, `{"name":"dev","external":true}`, 409, "already-exists"},
		{"POST", "/api/v1/workspaces", token, strings.Repeat("x", maxBody+1), 413, "too-large"},
		{"POST", "/api/v1/workspaces", token, `{"name":"A"}`, 422, "invalid"},
		{"POST", "/api/v1/workspaces", token, `{`, 400, "bad-request"},
		{"DELETE", "/api/v1/tokens/x", token, "", 422, "invalid"},
		{"PUT", "/api/v1/workspaces/alice/dev/state", owner, `{"state":"eyJ2ZXJzaW9uIjo0LCJzZXJpYWwiOjEsImxpbmVhZ2UiOiJ4In0="}`, 409, "external-workspace"},
	} {
		resp, body := d.send(t, c.method, c.path, c.token, strings.NewReader(c.body))
		if p := readProblem(t, resp, body); p.Status != c.status || p.Code != c.code {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, p.Status, p.Code, c.status, c.code)
		}
	}
	for _, path := range []string{"/api/v1/workspaces", "/signin", "/signin/", "/signin/device"} {
		resp, _ := d.send(t, "PATCH", path, token, nil)
		if allow := strings.Join(resp.Header.Values("Allow"), ", "); resp.StatusCode != http.StatusMethodNotAllowed || allow != "GET, POST" {
			t.Errorf("%s: %d, Allow %q, want GET, POST", path, resp.StatusCode, allow)
		}
	}
}

func TestFieldsThatAreWrongAreNamedAndNotRepeated(t *testing.T) {
	d := deploy(t)
	resp, body := d.send(t, "POST", "/api/v1/users/first", "", strings.NewReader(
		`{"username":"alice","email":"alice@example.com","password":"hush"}`))
	p := readProblem(t, resp, body)
	if p.Status != 422 || len(p.Errors) != 1 || p.Errors[0].Location != "body.password" || p.Errors[0].Message == "" {
		t.Errorf("%+v, want one error at body.password", p)
	}
	if strings.Contains(body, "hush") {
		t.Errorf("the password is repeated: %s", body)
	}
}

func TestAnotherMediaTypeIs415(t *testing.T) {
	d := deploy(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.url.String()+"/api/v1/login", strings.NewReader("<login/>"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/xml")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p sdk.Error
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Status != 415 || p.Code != "unsupported-media-type" {
		t.Errorf("%+v, %v, want 415", p, err)
	}
}

func TestAPanicIsAProblemAndALine(t *testing.T) {
	var log strings.Builder
	r := chi.NewRouter()
	r.Use(recovered(slog.New(slog.NewTextHandler(&log, nil))))
	r.Get("/early", func(http.ResponseWriter, *http.Request) { panic("secret") })
	r.Get("/late", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic("secret") })
	web := httptest.NewServer(r)
	defer web.Close()
	resp, err := http.Get(web.URL + "/early")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p sdk.Error
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Status != 500 || p.Code != "internal" || strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v, %v, want 500 internal", p, err)
	}
	if !strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "problem_test.go") {
		t.Errorf("the log does not say where: %s", &log)
	}
	if resp, err := http.Get(web.URL + "/late"); err == nil {
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("begun: %d", resp.StatusCode)
		}
	}
}
