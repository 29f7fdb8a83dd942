package dashboard

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

var script = strings.Repeat("export const nothing = null;\n", 100)

// built is a dashboard, and bare what a coordinator has that was built without.
var (
	built = fstest.MapFS{
		"site/absent.html":           {Data: []byte("absent")},
		"site/built/index.html":      {Data: []byte("<title>adit</title>")},
		"site/built/assets/index.js": {Data: []byte(script)},
		"site/built/favicon.svg":     {Data: []byte("<svg/>")},
	}
	bare = fstest.MapFS{
		"site/absent.html": {Data: []byte("make dashboard")},
		"site/absent.css":  {Data: []byte("body {}")},
	}
)

// get asks a server that has nothing but the dashboard.
func get(h *Handler, path string, header ...string) *http.Response {
	mux := http.NewServeMux()
	for _, p := range h.Patterns() {
		mux.Handle(p, h)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

func TestWhatIsServed(t *testing.T) {
	with, without := newHandler(built), newHandler(bare)
	for _, c := range []struct {
		what   string
		h      *Handler
		path   string
		status int
		kind   string
		says   string
		keeps  string
	}{
		{"the first page", with, "/", 200, "text/html", "<title>", "no-cache"},
		{"a page below, which the script knows", with, "/workspaces/alice/dev", 200, "text/html", "<title>", "no-cache"},
		{"a name with a dot is a page, too", with, "/templates/default/go1.26", 200, "text/html", "<title>", "no-cache"},
		{"a script, for good", with, "/assets/index.js", 200, "text/javascript", "export", "immutable"},
		{"a script of another release", with, "/assets/older.js", 404, "text/plain", "not found", ""},
		{"a picture", with, "/favicon.svg", 200, "image/svg+xml", "<svg/>", "no-cache"},
		{"nothing", with, "/nothing", 404, "text/plain", "not found", ""},
		{"no way out of the files", with, "/assets/../absent.html", 307, "", "", ""},
		{"without a dashboard: how to get it", without, "/", 200, "text/html", "make dashboard", "no-cache"},
		{"without a dashboard: on each page", without, "/workspaces", 200, "text/html", "make dashboard", "no-cache"},
		{"without a dashboard: its style", without, "/assets/absent.css", 200, "text/css", "body", ""},
	} {
		resp := get(c.h, c.path)
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || !strings.HasPrefix(resp.Header.Get("Content-Type"), c.kind) ||
			!strings.Contains(string(body), c.says) || !strings.Contains(resp.Header.Get("Cache-Control"), c.keeps) {
			t.Errorf("%s: GET %s is %d %v %q", c.what, c.path, resp.StatusCode, resp.Header, body)
		}
	}
}

// A script that somebody manages to put into a page does not run, and no other site
// shows ours in a frame.
func TestPolicyLetsNothingInlineRun(t *testing.T) {
	for _, h := range []*Handler{newHandler(built), newHandler(bare), New()} {
		policy := get(h, "/").Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%q lacks %s", policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("unsafe: %q", policy)
		}
	}
}

func TestPackedAndUnchanged(t *testing.T) {
	h := newHandler(built)
	resp := get(h, "/assets/index.js", "Accept-Encoding", "gzip, br")
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatal(resp.Header)
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != script {
		t.Errorf("unpacked it is %d bytes, want %d (%v)", len(text), len(script), err)
	}
	plain := get(h, "/assets/index.js")
	if plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("ETag") == resp.Header.Get("ETag") {
		t.Errorf("not packed: %v, packed: %v", plain.Header, resp.Header)
	}
	if again := get(h, "/", "If-None-Match", get(h, "/").Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same page again: %d", again.StatusCode)
	}
}

// What npm puts into the dashboard is pinned by its digest, is from whichever registry
// npm is told of, and runs nothing while it is installed.
func TestPackagesOfTheDashboardArePinned(t *testing.T) {
	raw, err := os.ReadFile("web/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct {
			Resolved, Integrity string
			HasInstallScript    bool
		}
	}
	if err := json.Unmarshal(raw, &lock); err != nil || len(lock.Packages) < 2 {
		t.Fatalf("%d packages, %v", len(lock.Packages), err)
	}
	for name, p := range lock.Packages {
		if name != "" && (p.Resolved != "" || !strings.HasPrefix(p.Integrity, "sha512-") || p.HasInstallScript) {
			t.Errorf("%s: from %q, digest %q, runs a script: %v", name, p.Resolved, p.Integrity, p.HasInstallScript)
		}
	}
}
