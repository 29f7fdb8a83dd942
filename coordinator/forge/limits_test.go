package forge

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/forge/forgetest"
)

// stalling is a repository that sends so many bytes of its files and then nothing more,
// until whoever fetches goes.
func stalling(t *testing.T, r *forgetest.Repository, after int) Source {
	t.Helper()
	at, err := url.Parse(strings.TrimSuffix(r.URL, "/repository/.git"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(at)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		proxy.ServeHTTP(&valve{ResponseWriter: w, left: after, gone: req.Context().Done()}, req)
	}))
	t.Cleanup(web.Close)
	return Source{URL: web.URL + "/repository/.git", Branch: "main", Dir: ".", Private: true}
}

// valve passes on left bytes.
type valve struct {
	http.ResponseWriter
	left int
	gone <-chan struct{}
}

func (v *valve) Unwrap() http.ResponseWriter { return v.ResponseWriter }

func (v *valve) Write(p []byte) (int, error) {
	if v.left -= len(p); v.left < 0 {
		<-v.gone
		return 0, http.ErrAbortHandler
	}
	n, err := v.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(v.ResponseWriter).Flush()
	}
	return n, err
}

func TestAFetchEndsAtItsLimits(t *testing.T) {
	r := forgetest.Serve(t)
	noise := make([]byte, 8<<20) // which does not pack
	rand.Read(noise)
	r.Write("main.tf", "# a template\n")
	r.Write("film", string(noise))
	r.Commit("A film")
	for name, c := range map[string]struct {
		after int
		may   limits
		want  string
	}{
		"a large file, before it is there": {4 << 20, limits{time.Minute, 2 << 20}, "its files are more than the 2 MiB that a repository may have"},
		"a forge that says nothing":        {0, limits{500 * time.Millisecond, 512 << 20}, "it took longer than the 500ms that a fetch may take"},
		"a forge that stops":               {4 << 20, limits{500 * time.Millisecond, 512 << 20}, "it took longer than the 500ms that a fetch may take"},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			from := stalling(t, r, c.after)
			began := time.Now()
			_, err := fetch(t.Context(), from, c.may)
			took := time.Since(began)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || took > 10*time.Second {
				t.Errorf("after %v: %v, want %q", took, err, c.want)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
				t.Errorf("it leaves %v, %v", left, err)
			}
		})
	}
}
