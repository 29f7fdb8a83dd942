package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served answers requests with f and keeps what was logged and seen.
type served struct {
	url  string
	log  bytes.Buffer
	seen chan Seen
}

func serve(t *testing.T, f http.HandlerFunc) *served {
	t.Helper()
	return serveLogging(t, nil, f)
}

// serveLogging has the HTTP server log to errors; nil is where it does by default.
func serveLogging(t *testing.T, errors *log.Logger, f http.HandlerFunc) *served {
	t.Helper()
	s := &served{seen: make(chan Seen, 10)}
	lines := slog.New(LogHandler(slog.NewJSONHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	web := httptest.NewUnstartedServer(Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines.With("deep", true).WarnContext(r.Context(), "from within")
		f(w, r)
	}), lines, nil, func(seen Seen) { s.seen <- seen }))
	web.Config.ErrorLog = errors
	web.Start()
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

func (s *served) get(t *testing.T, id string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+"/some/path?token=hunter2", nil)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		req.Header.Set(Header, id)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestAnIDIsInAnswerProblemAndEveryLine(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"status":409,"detail":"in use"}`+"\n")
	})
	for given, kept := range map[string]bool{
		"":                           false,
		"0af7651916cd43dd-8448:eb.9": true,
		"spaces are no id":           false,
		`quote"{}`:                   false,
		strings.Repeat("x", maxID):   true,
		strings.Repeat("x", maxID+1): false,
		"na\u00efve":                 false,
	} {
		s.log.Reset()
		resp, body := s.get(t, given)
		<-s.seen
		id := resp.Header.Get(Header)
		if (id == given) != kept || len(id) < 9 {
			t.Errorf("%q was answered with the id %q", given, id)
		}
		var problem struct {
			Status    int
			Detail    string
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.RequestID != id || problem.Detail != "in use" || resp.StatusCode != 409 {
			t.Errorf("%d %s: %v, want the id %s", resp.StatusCode, body, err, id)
		}
		lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
		for _, line := range lines {
			if !strings.Contains(line, `"request_id":"`+id+`"`) {
				t.Errorf("a line without its id %s: %s", id, line)
			}
		}
		if len(lines) != 2 || strings.Contains(s.log.String(), "hunter2") {
			t.Errorf("want two lines, and no query in them:\n%s", &s.log)
		}
	}
}

func TestOtherAnswersAreLeftAlone(t *testing.T) {
	long := strings.Repeat("x", 2*maxProblem)
	for name, c := range map[string]struct{ kind, body string }{
		"no problem":              {"application/json", `{"status":409}`},
		"problem that is no JSON": {"application/problem+json", `{"status":`},
		"problem without end":     {"application/problem+json", long},
		"problem with an id":      {"application/problem+json", `{"request_id":"other"}`},
		"empty object":            {"application/problem+json", `{}`},
		"empty":                   {"application/problem+json", ""},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(http.StatusTeapot)
			for part := range strings.SplitSeq(c.body, "%") {
				_, _ = io.WriteString(w, part)
			}
		})
		resp, body := s.get(t, "")
		if resp.StatusCode != http.StatusTeapot || body != c.body {
			t.Errorf("%s: %d %.80q", name, resp.StatusCode, body)
		}
		if seen := <-s.seen; seen.Status != http.StatusTeapot || seen.Bytes != int64(len(c.body)) {
			t.Errorf("%s: %+v", name, seen)
		}
	}
}

// Whoever is turned away for now learns when to ask again, from whoever turned them
// away or, where that says nothing, from here; whoever is turned away for good does
// not.
func TestWhoIsToAskAgainIsToldWhen(t *testing.T) {
	for _, c := range []struct {
		status      int
		given, want string
	}{
		{http.StatusTooManyRequests, "", retryAfter},
		{http.StatusServiceUnavailable, "", retryAfter},
		{http.StatusTooManyRequests, "42", "42"},
		{http.StatusServiceUnavailable, "42", "42"},
		{http.StatusOK, "", ""},
		{http.StatusConflict, "", ""},
		{http.StatusInternalServerError, "", ""},
	} {
		for _, kind := range []string{"text/plain", "application/problem+json"} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				if c.given != "" {
					w.Header().Set("Retry-After", c.given)
				}
				w.WriteHeader(c.status)
			})
			if resp, _ := s.get(t, ""); resp.Header.Get("Retry-After") != c.want {
				t.Errorf("%d of %s with %q: Retry-After %q, want %q", c.status, kind, c.given, resp.Header.Get("Retry-After"), c.want)
			}
		}
	}
}

func TestWhatIsSeenHasFewValues(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { SetRoute(r.Context(), "/some/{name}") })
	s.get(t, "")
	if seen := <-s.seen; seen.Route != "/some/{name}" || seen.Method != "GET" || seen.Long || seen.Took <= 0 {
		t.Errorf("%+v", seen)
	}
	for given, want := range map[string]string{"PATCH": "PATCH", "BREW": "other"} {
		if got := method(given); got != want {
			t.Errorf("method %s is %s, want %s", given, got, want)
		}
	}
}

func TestStreamsAndUpgradesGoThrough(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		err := errors.Join(control.SetWriteDeadline(time.Now().Add(time.Minute)), control.Flush())
		conn, rw, hijackErr := w.(http.Hijacker).Hijack()
		if err = errors.Join(err, hijackErr); err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("0\r\n\r\n")
		_ = rw.Flush()
	})
	s.get(t, "")
	if seen := <-s.seen; !seen.Long {
		t.Errorf("a connection that was taken over counts as an answer: %+v", seen)
	}
}

// As one of events does, that has something to tell only later.
func TestAStreamThatIsFlushedFirstHasBegun(t *testing.T) {
	var complaints bytes.Buffer
	s := serveLogging(t, log.New(&complaints, "", 0), func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "an event") // the reader waits for it
	})
	if _, body := s.get(t, ""); body != "an event" {
		t.Errorf("it says %q", body)
	}
	if seen := <-s.seen; seen.Status != http.StatusOK {
		t.Errorf("its status is seen as %d", seen.Status)
	}
	if complaints.Len() > 0 {
		t.Errorf("the server says: %s", &complaints)
	}
}
