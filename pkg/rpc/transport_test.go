package rpc

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// serve runs a server that admits everybody, and closes it with the test.
func serve(t *testing.T, mesh meshv1.MeshServer) (*Server, *url.URL) {
	t.Helper()
	srv := NewServer(ServerConfig{
		Authenticate: func(context.Context, string) (any, error) { return "alice", nil },
		Refuse:       func(w http.ResponseWriter, err error) { http.Error(w, err.Error(), http.StatusUnauthorized) },
	}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, mesh) })
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		srv.Close()
		web.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return srv, u
}

// mustEnd fails the test if f takes longer than nobody would wait.
func mustEnd(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s has not ended after 5 s", what)
	}
}

// lingeringMesh's RPC goes on after its stream has ended until it is let go.
type lingeringMesh struct {
	meshv1.UnimplementedMeshServer
	entered, ended, goOn chan struct{}
}

func (m *lingeringMesh) Connect(s meshv1.Mesh_ConnectServer) error {
	close(m.entered)
	<-s.Context().Done()
	close(m.ended)
	<-m.goOn
	return nil
}

func TestCloseWaitsForTheRPCs(t *testing.T) {
	mesh := &lingeringMesh{entered: make(chan struct{}), ended: make(chan struct{}), goOn: make(chan struct{})}
	srv, u := serve(t, mesh)
	cc := dial(t, DialConfig{URL: u})
	if _, err := meshv1.NewMeshClient(cc).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-mesh.entered
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		srv.Close()
	}()
	<-mesh.ended
	select {
	case <-closed:
		t.Error("Close returned while an RPC was under way")
	case <-time.After(50 * time.Millisecond): // as long as one cares to see nothing happen
	}
	close(mesh.goOn)
	mustEnd(t, "Close", func() { <-closed })
}

func TestCloseDoesNotWaitForAPeerThatNeverSpoke(t *testing.T) {
	srv, u := serve(t, echoMesh{})
	ws, _, err := websocket.Dial(t.Context(), u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	mustEnd(t, "Close", srv.Close)
}

func TestUpgradeOnAClosedServerEndsAtOnce(t *testing.T) {
	srv, u := serve(t, echoMesh{})
	srv.Close()
	mustEnd(t, "Dial", func() {
		if _, err := Dial(t.Context(), DialConfig{URL: u}); err == nil {
			t.Error("connected to a closed server")
		}
	})
}

func TestClosingAnUnusedConnectionClosesIt(t *testing.T) {
	srv, u := serve(t, echoMesh{})
	open := func() int {
		srv.mu.Lock()
		defer srv.mu.Unlock()
		return len(srv.conns)
	}
	c := dial(t, DialConfig{URL: u})
	if n := open(); n != 1 {
		t.Fatalf("the server has %d connections, want 1", n)
	}
	c.Close()
	mustEnd(t, "the server's side", func() {
		for open() > 0 {
			time.Sleep(time.Millisecond) // nothing announces it
		}
	})
}

func TestTooManyAtOnceAreToldToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{})
		srv := NewServer(ServerConfig{
			Authenticate: func(ctx context.Context, _ string) (any, error) {
				asked <- struct{}{}
				<-ctx.Done() // a database that hangs
				return nil, ctx.Err()
			},
			Refuse: func(http.ResponseWriter, error) {},
		}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, echoMesh{}) })
		defer srv.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var first sync.WaitGroup
		defer first.Wait()
		defer cancel()
		request := func() *http.Request {
			return httptest.NewRequest(http.MethodGet, "/rpc", nil).WithContext(ctx)
		}
		for range upgradesAtOnce {
			first.Go(func() { srv.ServeHTTP(httptest.NewRecorder(), request()) })
			<-asked
		}
		began, answer := time.Now(), httptest.NewRecorder()
		srv.ServeHTTP(answer, request())
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || time.Since(began) != upgradeWait {
			t.Errorf("after %v: %d %v, want 503 with Retry-After after %v", time.Since(began), answer.Code, answer.Header(), upgradeWait)
		}
	})
}

func TestPeerThatDoesNotAnswerPingsIsGone(t *testing.T) {
	srv := NewServer(ServerConfig{
		Authenticate: func(context.Context, string) (any, error) { return "alice", nil },
		Ping:         time.Second, // gRPC takes no less
		Timeout:      time.Second,
	}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, echoMesh{}) })
	web := httptest.NewServer(srv)
	defer web.Close()
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, web.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	err = ws.Write(ctx, websocket.MessageBinary, []byte(emptyHTTP2))
	for err == nil {
		_, _, err = ws.Read(ctx) // reads the pings, answers none
	}
	if ctx.Err() != nil {
		t.Error("still open after 10 s")
	}
}

// emptyHTTP2 is how a client without settings of its own begins.
const emptyHTTP2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func TestServerThatUpgradesButDoesNotSpeakIsAnError(t *testing.T) {
	release := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		<-release
	}))
	defer web.Close()
	defer close(release)
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, DialConfig{URL: u}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the dial's deadline", err)
	}
}

func TestBrokenConnectionIsUnavailableAndStaysSo(t *testing.T) {
	srv, u := serve(t, echoMesh{})
	cc := dial(t, DialConfig{URL: u})
	client := meshv1.NewMeshClient(cc)
	stream, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v, want Unavailable", err)
	}
	if _, err := client.Connect(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream after that: %v, want Unavailable", err)
	}
}

func TestWebSocketMessageOverTheLimitClosesTheConnection(t *testing.T) {
	_, u := serve(t, echoMesh{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	// Well-formed HTTP/2, so that only the size can be at fault.
	ping := "\x00\x00\x08\x06\x01\x00\x00\x00\x00" + "12345678" // an acknowledged ping asks nothing
	go ws.Write(ctx, websocket.MessageBinary, []byte(emptyHTTP2+strings.Repeat(ping, readLimit/len(ping)+1)))
	for err == nil {
		_, _, err = ws.Read(ctx)
	}
	if ctx.Err() != nil {
		t.Error("still open after 5 s")
	}
}

func TestReasonFromTheNetworkIsOneLine(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"problem detail", `{"title":"Unauthorized","detail":"token revoked"}`, "token revoked"},
		{"problem title", `{"title":"Unauthorized"}`, "Unauthorized"},
		{"a proxy's page", "<html>\r\n<h1>Bad Gateway</h1>\r\n", "<html> <h1>Bad Gateway</h1>"},
		{"terminal escapes", "\x1b[31mred\x07", "[31mred"},
		{"not UTF-8", "\xff\xfe", ""},
		{"too long", strings.Repeat("é", 2000), strings.Repeat("é", maxReason-1) + "…"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := problem(strings.NewReader(c.body)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
