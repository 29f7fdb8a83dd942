package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echoMesh welcomes each hello with the caller's identity as its name.
type echoMesh struct {
	meshv1.UnimplementedMeshServer
}

func (echoMesh) Connect(s meshv1.Mesh_ConnectServer) error {
	for {
		if _, err := s.Recv(); err != nil {
			return nil
		}
		id, _ := Identity(s.Context())
		down := &meshv1.Down{Msg: &meshv1.Down_Welcome{Welcome: &meshv1.Welcome{Name: id.(string)}}}
		if err := s.Send(down); err != nil {
			return err
		}
	}
}

func startServer(t *testing.T) *url.URL {
	t.Helper()
	srv := NewServer(ServerConfig{
		Authenticate: func(_ context.Context, token string) (any, error) {
			if token != "good" {
				return nil, errors.New("bad token")
			}
			return "alice", nil
		},
		Refuse: func(w http.ResponseWriter, err error) {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"title":"Unauthorized","detail":"`+err.Error()+`"}`)
		},
	}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, echoMesh{}) })
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
	return u
}

func dial(t *testing.T, cfg DialConfig) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	cc, err := Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

func TestIdentityReachesTheRPC(t *testing.T) {
	cc := dial(t, DialConfig{URL: startServer(t), Path: "/rpc", Token: "good"})
	stream, err := meshv1.NewMeshClient(cc).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&meshv1.Up{}); err != nil {
		t.Fatal(err)
	}
	down, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got := down.GetWelcome().GetName(); got != "alice" {
		t.Errorf("identity is %q, want alice", got)
	}
}

func TestWrongTokenIsRefusedBeforeTheUpgrade(t *testing.T) {
	_, err := Dial(t.Context(), DialConfig{URL: startServer(t), Path: "/rpc", Token: "bad"})
	if !errors.Is(err, ErrUnauthorized) {
		t.Fatalf("got %v, want ErrUnauthorized", err)
	}
	var refused *UpgradeError
	if !errors.As(err, &refused) || refused.Message != "bad token" {
		t.Errorf("got %#v, want the server's reason", refused)
	}
}

func TestOversizeMessageEndsOnlyItsStream(t *testing.T) {
	u := startServer(t)
	cc := dial(t, DialConfig{URL: u, Path: "/rpc", Token: "good"})
	stream, err := meshv1.NewMeshClient(cc).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hello := &meshv1.Hello{Version: strings.Repeat("x", MaxMessage)}
	if err := stream.Send(&meshv1.Up{Msg: &meshv1.Up_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Fatal("a message over the limit was answered")
	}
	again, err := meshv1.NewMeshClient(cc).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again.Send(&meshv1.Up{})
	if _, err := again.Recv(); err != nil {
		t.Errorf("the next stream on the same connection: %v", err)
	}
}

func TestGarbageInTheWebSocketClosesIt(t *testing.T) {
	u := startServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, kind := range []websocket.MessageType{websocket.MessageBinary, websocket.MessageText} {
		ws, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer good"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ws.Write(ctx, kind, bytes.Repeat([]byte("garbage "), 1000))
		for err == nil {
			_, _, err = ws.Read(ctx)
		}
		if ctx.Err() != nil {
			t.Errorf("%v garbage: still open after 10 s", kind)
		}
		ws.CloseNow()
	}
}

func TestServerCloseEndsStreams(t *testing.T) {
	u := startServer(t)
	cc := dial(t, DialConfig{URL: u, Path: "/rpc", Token: "good"})
	stream, err := meshv1.NewMeshClient(cc).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&meshv1.Up{})
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	// startServer's cleanup closes the server while the stream is open; goleak
	// sees what stays.
}

// announcingMesh reads in the RPC's own goroutine, and is ended by another.
type announcingMesh struct {
	meshv1.UnimplementedMeshServer
	received chan error
}

func (m announcingMesh) Connect(s meshv1.Mesh_ConnectServer) error {
	go func() {
		_ = s.Send(&meshv1.Down{Msg: &meshv1.Down_Error{Error: &meshv1.Error{Message: "the last"}}})
		StopReceiving(s.Context())
	}()
	_, err := s.Recv()
	m.received <- err
	return nil
}

func TestWhoSentTheLastMessageEndsTheReader(t *testing.T) {
	mesh := announcingMesh{received: make(chan error, 1)}
	_, u := serve(t, mesh)
	stream, err := meshv1.NewMeshClient(dial(t, DialConfig{URL: u})).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	down, err := stream.Recv()
	if err != nil || down.GetError().GetMessage() != "the last" {
		t.Errorf("the last message was %v, %v", down, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("the stream ended with %v, want Canceled", err)
	}
	if err := <-mesh.received; err == nil {
		t.Error("the reader read on")
	}
}
