package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

// programOf is a program that says a version.
func programOf(version string) string {
	return fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'version -o json' ] && echo '{\"version\": %q}'\n", version)
}

func digestOf(program string) string {
	sum := sha256.Sum256([]byte(program))
	return hex.EncodeToString(sum[:])
}

// offered is a coordinator with a program, whose digest it says to be another if that
// is not empty.
func offered(t *testing.T, program, digest string) *sdk.Client {
	t.Helper()
	if digest == "" {
		digest = digestOf(program)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := fmt.Sprintf("/api/v1/agent/binary/%s/%s", runtime.GOOS, runtime.GOARCH); r.URL.Path != want {
			t.Errorf("asked for %s, want %s", r.URL.Path, want)
		}
		if r.Header.Get("If-None-Match") == `"`+digest+`"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Adit-Sha256", digest)
		fmt.Fprint(w, program)
	}))
	t.Cleanup(web.Close)
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.New(u, "token")
}

// installed writes a program and returns where.
func installed(t *testing.T, program string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "adit")
	if err := os.WriteFile(name, []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// holds checks that a program is there, as it can be run, and nothing beside it.
func holds(t *testing.T, name, program string) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil || string(got) != program {
		t.Errorf("there is %q, %v, want %q", got, err, program)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(name)); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestTheCoordinatorsProgramTakesThePlace(t *testing.T) {
	old, next := programOf("1.0"), programOf("2.0")
	name := installed(t, old)
	cfg := Config{Coordinator: offered(t, next, ""), Program: name, Running: digestOf(old)}
	p, err := Fetch(t.Context(), cfg)
	if err != nil || p != (Program{digestOf(next), "2.0"}) {
		t.Errorf("got %+v, %v", p, err)
	}
	holds(t, name, next)

	// Asked again, there is nothing to download, and it still waits to be started.
	if p, err = Fetch(t.Context(), cfg); err != nil || p != (Program{digestOf(next), "2.0"}) {
		t.Errorf("again: %+v, %v", p, err)
	}
	// Once it runs, there is nothing to do.
	cfg.Running = digestOf(next)
	if p, err = Fetch(t.Context(), cfg); err != nil || p != (Program{digestOf(next), ""}) {
		t.Errorf("running: %+v, %v", p, err)
	}
}

// Whatever is wrong with what comes, the old program stays.
func TestWhatIsWrongTakesNoPlace(t *testing.T) {
	old := programOf("1.0")
	for what, tt := range map[string]struct{ program, digest, want string }{
		"other bytes than the digest's": {programOf("2.0"), digestOf("something else"), "SHA-256"},
		"nothing":                       {"", digestOf("something else"), "SHA-256"},
		"no program of this platform":   {"\x7fELF of another", "", "does not run here"},
		"one that fails":                {"#!/bin/sh\necho no libraries >&2\nexit 1\n", "", "no libraries"},
		"no version":                    {"#!/bin/sh\necho hello\n", "", "does not run here"},
	} {
		name := installed(t, old)
		_, err := Fetch(t.Context(), Config{Coordinator: offered(t, tt.program, tt.digest), Program: name, Running: digestOf(old)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", what, err)
		}
		holds(t, name, old)
	}
}

func TestADownloadThatIsCutOffTakesNoPlace(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Adit-Sha256", digestOf(programOf("2.0")))
		fmt.Fprint(w, programOf("2.0")[:20])
		w.(http.Flusher).Flush()
		cancel()
	}))
	defer web.Close()
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	name := installed(t, programOf("1.0"))
	if _, err := Fetch(ctx, Config{Coordinator: sdk.New(u, ""), Program: name}); err == nil {
		t.Error("no error")
	}
	holds(t, name, programOf("1.0"))
}

func TestAProgramThatMayNotBeReplaced(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may replace anything")
	}
	name := installed(t, programOf("1.0"))
	if err := os.Chmod(filepath.Dir(name), 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := Fetch(t.Context(), Config{Coordinator: offered(t, programOf("2.0"), ""), Program: name})
	if err == nil || !strings.Contains(err.Error(), "may not replace its program") {
		t.Errorf("got %v", err)
	}
	if err := os.Chmod(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
}
