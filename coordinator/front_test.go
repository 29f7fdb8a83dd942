package coordinator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/request"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestBeforeThereIsACoordinatorTheFrontSaysWhy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := NewFront(l, nil, slog.New(slog.DiscardHandler))
	d := &deployment{url: &url.URL{Scheme: "http", Host: l.Addr().String()}}
	f.At("the schema is brought up to date")
	for path, want := range map[string]struct {
		status int
		says   string
	}{
		"/healthz":          {200, "ok"},
		"/readyz":           {503, "not ready: the schema is brought up to date"},
		"/api/v1/buildinfo": {503, `"detail":"the coordinator is not ready: the schema`},
		"/rpc/v1/node":      {503, `"request_id":"`},
	} {
		if status, text := d.get(t, path); status != want.status || !strings.Contains(text, want.says) {
			t.Errorf("%s: %d %s, want %d and %q", path, status, text, want.status, want.says)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestShutdownIsInOrder(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	d := deploy(t, map[string]http.Handler{
		"/slow": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(asked)
			<-goOn
			_, _ = io.WriteString(w, "whole")
		}),
	}, func(c *Config) { c.DrainDelay = 500 * time.Millisecond })
	client := d.join(t, d.alice.Token())
	answer := make(chan string, 1)
	go func() {
		_, text := d.get(t, "/slow")
		answer <- text
	}()
	<-asked

	// While it drains it says so, and serves all the same.
	d.stop()
	for deadline := time.Now().Add(5 * time.Second); ; {
		status, text := d.get(t, "/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(text, "draining") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("draining: %d %s", status, text)
		}
	}
	if status, _ := d.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("alive: %d", status)
	}
	if _, err := d.alice.Me(t.Context()); err != nil {
		t.Errorf("while it drains: %v", err)
	}
	// Then streams are told, and what is under way ends.
	if e := streamEnd(client); e.GetCode() != meshv1.Error_UNAVAILABLE || !strings.Contains(e.GetMessage(), "shutting down") {
		t.Errorf("a node was told %v", e)
	}
	if conn, err := rpc.Dial(t.Context(), rpc.DialConfig{URL: d.url, Path: "/rpc/v1/node", Token: d.alice.Token()}); err == nil {
		conn.Close()
		t.Error("a node came in although the coordinator shuts down")
	}
	close(goOn)
	if text := <-answer; text != "whole" {
		t.Errorf("a request under way was answered %q", text)
	}
	if err := <-d.served; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRequestsThatNeverEndAreCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as requests may at shutdown")
	}
	asked := make(chan struct{})
	d := deploy(t, map[string]http.Handler{
		"/stuck": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
		}),
	})
	go func() {
		if resp, err := http.Get(d.url.String() + "/stuck"); err == nil {
			resp.Body.Close()
		}
	}()
	<-asked
	began := time.Now()
	d.stop()
	err := <-d.served
	if took := time.Since(began); took < drainTimeout || took > drainTimeout+5*time.Second || err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("%v after %v, want it cut off after %v", err, took, drainTimeout)
	}
}

// Of a request's head the server reads what fits, so that no parameter of an
// operation is longer.
func TestAnEndlessHeadIsRefused(t *testing.T) {
	d := deploy(t, nil)
	for what, to := range map[string]string{
		"path":  "/api/v1/workspaces/" + strings.Repeat("x", 10<<20),
		"query": "/api/v1/workspaces?cursor=" + strings.Repeat("x", 10<<20),
	} {
		conn, err := net.Dial("tcp", d.url.Host)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, "GET "+to+" HTTP/1.1\r\nHost: adit\r\n\r\n") // ends when the server has enough
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s of 10 MB: %v", what, err)
		}
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s of 10 MB: %s, want 431", what, resp.Status)
		}
		resp.Body.Close()
		conn.Close()
	}
}

func TestMetricsSayHowItIs(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	d.hello(t, w.AgentToken, hello('a'))
	client := d.join(t, d.alice.Token())
	want(t, client, w.Agents[0].ID)
	about(t, client)
	d.get(t, "/api/v1/workspaces/me/none-a")
	d.get(t, "/api/v1/workspaces/me/none-b")
	d.get(t, "/nowhere/none-c")

	raw, err := d.server.metrics.Text()
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, line := range []string{
		`adit_mesh_nodes{kind="agent",state="here"} 1`,
		`adit_mesh_nodes{kind="client",state="here"} 1`,
		`adit_mesh_links{path="unknown"} 1`,
		`adit_mesh_streams 2`,
		`adit_jobs{status="queued"} 0`,
		`adit_database_up 1`,
		`adit_database_connections_max 16`,
		`adit_breaker_open{kind="webhook"} 0`,
		`adit_http_request_seconds_count{method="GET",route="/api/v1/workspaces/{owner}/{name}",status="4xx"} 2`,
		`adit_http_request_seconds_count{method="GET",route="none",status="4xx"} 1`,
		`adit_build_info{version="test"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if strings.Contains(text, "none-") || strings.Contains(text, w.Agents[0].ID) {
		t.Error("a path or an id became a label")
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "adit_") && !strings.Contains(line, "_bucket") {
				t.Log(line)
			}
		}
	}
	d.server.store.Close()
	if raw, err = d.server.metrics.Text(); err != nil || !strings.Contains(string(raw), "adit_database_up 0\n") {
		t.Errorf("database away: %v, want the rest and adit_database_up 0", err)
	}
}

// A line that a request caused can be found by the id in its answer.
func TestAFailedRequestIsFoundInTheLog(t *testing.T) {
	var log syncBuffer
	d := deploy(t, nil, func(c *Config) { c.Logger = requestLogger(&log) })
	d.server.store.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url.String()+"/api/v1/users/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.alice.Token())
	req.Header.Set("X-Request-Id", "find-me-123")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var problem sdk.Error
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil || problem.RequestID != "find-me-123" || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d %+v: %v", resp.StatusCode, problem, err)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "request failed") && strings.Contains(line, `request_id=find-me-123`) {
			return
		}
	}
	t.Errorf("no line says what failed:\n%s", log.String())
}

// So can what a stream caused, whose request is long over.
func TestLinesOfAStreamHaveTheIDOfItsRequest(t *testing.T) {
	var log syncBuffer
	d := deploy(t, nil, func(c *Config) { c.Logger = requestLogger(&log) })
	conn, err := rpc.Dial(t.Context(), rpc.DialConfig{
		URL: d.url, Path: "/rpc/v1/node", Token: d.alice.Token(), HTTPClient: &http.Client{Transport: withID("find-me-456")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := meshv1.NewMeshClient(conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&meshv1.Up{Msg: &meshv1.Up_Hello{Hello: hello('c')}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: "nobody"}}}); err != nil {
		t.Fatal(err)
	}
	if e := streamEnd(stream); e.GetCode() != meshv1.Error_BAD_MESSAGE {
		t.Errorf("told %v", e)
	}
	for _, what := range []string{"node joined", "node broke the protocol"} {
		found := false
		for line := range strings.Lines(log.String()) {
			found = found || strings.Contains(line, what) && strings.Contains(line, "request_id=find-me-456")
		}
		if !found {
			t.Errorf("no line %q has the id:\n%s", what, log.String())
		}
	}
}

// withID is a transport that gives each request an id.
type withID string

func (id withID) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(request.Header, string(id))
	return http.DefaultTransport.RoundTrip(r)
}

// syncBuffer is a buffer that several may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func requestLogger(to io.Writer) *slog.Logger {
	return slog.New(request.LogHandler(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug})))
}
