package coordinator

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store/storetest"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/postgres/postgrestest"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/pkg/sdk"
)

// database is one real Postgres for all tests; each has a database of its own.
var database *postgres.Server

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &database)) }

// deployment is a coordinator that serves, with one user.
type deployment struct {
	server *Server
	url    *url.URL
	alice  *sdk.Client
	stop   context.CancelFunc
	served chan error
}

func stateKeys(t *testing.T) *seal.Keys {
	t.Helper()
	keys, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func deploy(t *testing.T, mounts map[string]http.Handler, more ...func(*Config)) *deployment {
	t.Helper()
	conf := Config{
		StateKeys: stateKeys(t), PostgresURL: postgrestest.Database(t, database), Relays: &meshv1.Relays{}, Mounts: mounts,
		Version: "test", Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range more {
		f(&conf)
	}
	s, err := Open(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	d := run(t, s)
	anybody := sdk.New(d.url, "")
	first := sdk.FirstUser{Username: "alice", Email: "alice@example.com", Password: "correct horse"}
	if _, err := anybody.CreateFirstUser(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	session, err := anybody.Login(t.Context(), sdk.Login{Username: first.Username, Password: first.Password})
	if err != nil {
		t.Fatal(err)
	}
	d.alice = sdk.New(d.url, session.Token)
	return d
}

// run serves a coordinator until the test is over.
func run(t *testing.T, s *Server) *deployment {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	d := &deployment{server: s, url: &url.URL{Scheme: "http", Host: l.Addr().String()}, stop: cancel, served: make(chan error, 1)}
	go func() {
		d.served <- s.Run(ctx, l)
		close(d.served)
	}()
	t.Cleanup(func() {
		cancel()
		for range d.served {
		}
	})
	return d
}

// join opens a control stream and returns it once the node is welcome.
func (d *deployment) join(t *testing.T, token string) meshv1.Mesh_ConnectClient {
	t.Helper()
	var key, disco [32]byte
	rand.Read(key[:])
	rand.Read(disco[:])
	stream, down := d.hello(t, token, &meshv1.Hello{Protocol: 1, PublicKey: key[:], DiscoKey: disco[:], Version: "test"})
	if down.GetWelcome() == nil {
		t.Fatalf("hello was answered with %v", down)
	}
	return stream
}

// hello opens a control stream and returns it with the first answer.
func (d *deployment) hello(t *testing.T, token string, hello *meshv1.Hello) (meshv1.Mesh_ConnectClient, *meshv1.Down) {
	t.Helper()
	conn, err := rpc.Dial(t.Context(), rpc.DialConfig{URL: d.url, Path: "/rpc/v1/node", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := meshv1.NewMeshClient(conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&meshv1.Up{Msg: &meshv1.Up_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	down, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return stream, down
}

// streamEnd reads a stream to its end and returns what it was told last.
func streamEnd(stream meshv1.Mesh_ConnectClient) *meshv1.Error {
	var last *meshv1.Error
	for {
		down, err := stream.Recv()
		if err != nil {
			return last
		}
		if e := down.GetError(); e != nil {
			last = e
		}
	}
}

// follow follows the log of a workspace's agent, and tells when the answer has ended.
func (d *deployment) follow(t *testing.T, token, workspace string) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url.String()+"/api/v1/workspaces/me/"+workspace+"/agents/main/logs?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("follow: %v, %v", resp, err)
	}
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		ended <- err
	}()
	return ended
}

func (d *deployment) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(d.url.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestEverythingIsOnOnePort(t *testing.T) {
	d := deploy(t, map[string]http.Handler{
		"/derp": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "relay") }),
	})
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/":                 {200, "<title>adit</title>"}, // with the dashboard, and without
		"/healthz":          {200, "ok"},
		"/readyz":           {200, "ready"},
		"/derp":             {200, "relay"},
		"/api/openapi.json": {200, "openapi"},
		"/api/v1/buildinfo": {200, `"has_users":true`},
		"/rpc/v1/node":      {401, "token"},
		"/none":             {404, ""},
	} {
		if status, text := d.get(t, path); status != want.status || !strings.Contains(text, want.text) {
			t.Errorf("%s: %d %.200s, want %d and %q", path, status, text, want.status, want.text)
		}
	}
}

func TestAccessThatEndsEndsItsStreams(t *testing.T) {
	d := deploy(t, nil)
	made, err := d.alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.alice.CreateToken(t.Context(), sdk.CreateToken{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	agent := d.join(t, made.AgentToken)
	client := d.join(t, d.alice.Token())
	revoked := d.join(t, other.Text)

	if err := d.alice.RevokeToken(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	if e := streamEnd(revoked); e.GetCode() != meshv1.Error_REVOKED {
		t.Errorf("stream of a revoked token ended with %v, want REVOKED", e)
	}
	if err := d.alice.DeleteWorkspace(t.Context(), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	if e := streamEnd(agent); e.GetCode() != meshv1.Error_REVOKED {
		t.Errorf("stream of a deleted agent ended with %v, want REVOKED", e)
	}
	for name, token := range map[string]string{"revoked": other.Text, "deleted": made.AgentToken} {
		_, err := rpc.Dial(t.Context(), rpc.DialConfig{URL: d.url, Path: "/rpc/v1/node", Token: token})
		if !errors.Is(err, rpc.ErrUnauthorized) {
			t.Errorf("%s token dials again: %v, want ErrUnauthorized", name, err)
		}
	}

	// Nobody else noticed: the other client's stream carries on.
	want := &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: made.Agents[0].ID}}}
	if err := client.Send(want); err != nil {
		t.Fatal(err)
	}
	for {
		down, err := client.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e := down.GetError(); e != nil {
			if e.GetCode() != meshv1.Error_PEER_NOT_FOUND {
				t.Errorf("want of a deleted agent: %v, want PEER_NOT_FOUND", e)
			}
			return
		}
	}
}

// Whoever is kept out, or is no more, has nothing open a moment later: neither a
// node nor a log that they follow. Their workspaces' agents carry on while there
// is somebody to own them.
func TestPeopleWhoAreKeptOutHaveNothingOpen(t *testing.T) {
	d := deploy(t, nil)
	bob, err := d.alice.CreateUser(t.Context(), sdk.CreateUser{Username: "bob", Email: "bob@example.com", Password: "battery staple"})
	if err != nil {
		t.Fatal(err)
	}
	session := func() *sdk.Client {
		t.Helper()
		s, err := sdk.New(d.url, "").Login(t.Context(), sdk.Login{Username: "bob", Password: "battery staple"})
		if err != nil {
			t.Fatal(err)
		}
		return sdk.New(d.url, s.Token)
	}
	c := session()
	made, err := c.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	agent, alice := d.join(t, made.AgentToken), d.join(t, d.alice.Token())
	yes, no := true, false
	for name, end := range map[string]func() error{
		"suspended": func() error {
			_, err := d.alice.ChangeUser(t.Context(), bob.Username, sdk.ChangeUser{Suspended: &yes})
			return err
		},
		"password reset": func() error {
			return d.alice.ChangePassword(t.Context(), bob.Username, sdk.ChangePassword{Password: "battery staple"})
		},
	} {
		c := session()
		node, log := d.join(t, c.Token()), d.follow(t, c.Token(), "dev")
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if e := streamEnd(node); e.GetCode() != meshv1.Error_REVOKED {
			t.Errorf("%s: the node's stream ended with %v, want REVOKED", name, e)
		}
		<-log // or the test hangs
		if _, err := c.Me(t.Context()); !errors.Is(err, sdk.ErrUnauthorized) {
			t.Errorf("%s: %v, want ErrUnauthorized", name, err)
		}
		if _, err := d.alice.ChangeUser(t.Context(), bob.Username, sdk.ChangeUser{Suspended: &no}); err != nil {
			t.Fatal(err)
		}
	}
	if err := agent.Send(&meshv1.Up{Msg: &meshv1.Up_Self{Self: &meshv1.Self{}}}); err != nil {
		t.Errorf("the agent: %v", err)
	}
	node := d.join(t, session().Token())
	if err := d.alice.DeleteUser(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]meshv1.Mesh_ConnectClient{"node": node, "agent": agent} {
		if e := streamEnd(s); e.GetCode() != meshv1.Error_REVOKED {
			t.Errorf("deleted: the %s's stream ended with %v, want REVOKED", name, e)
		}
	}
	if err := alice.Send(&meshv1.Up{Msg: &meshv1.Up_Self{Self: &meshv1.Self{}}}); err != nil {
		t.Errorf("alice: %v", err)
	}
}

func TestStopEndsStreamsAndWaits(t *testing.T) {
	d := deploy(t, nil)
	client := d.join(t, d.alice.Token())
	began := time.Now()
	d.stop()
	if err := <-d.served; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > drainTimeout {
		t.Errorf("took %v with an idle stream open", took)
	}
	streamEnd(client) // or the test hangs
}

func TestGarbageOnThePortBothersNobody(t *testing.T) {
	d := deploy(t, nil)
	client := d.join(t, d.alice.Token())
	noise := make([]byte, 64<<10)
	rand.Read(noise)
	for name, said := range map[string]string{
		"noise":            string(noise),
		"TLS":              "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(noise[:512]),
		"HTTP/2":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + string(noise[:512]),
		"endless header":   "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"upgrade to rot":   "GET /rpc/v1/node HTTP/1.1\r\nHost: x\r\nUpgrade: rot13\r\nConnection: Upgrade\r\n\r\n",
		"negative length":  "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"no such encoding": "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", d.url.Host)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, said) // the server may hang up in the middle
		status, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.HasPrefix(status, "HTTP/1.1 4") && !strings.HasPrefix(status, "HTTP/1.1 501") {
			t.Errorf("%s: answered %q, want a refusal or nothing", name, status)
		}
		conn.Close()
	}
	if status, _ := d.get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
	if err := client.Send(&meshv1.Up{Msg: &meshv1.Up_Self{Self: &meshv1.Self{}}}); err != nil {
		t.Errorf("a node's stream: %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	for name, c := range map[string]struct {
		conf Config
		says string
	}{
		"ping slower than timeout": {Config{NodePing: time.Minute, NodeTimeout: time.Second}, "node timeout"},
		"no URL":                   {Config{PostgresURL: "mysql://x:y@z:port"}, "Postgres URL"},
		"nobody there":             {Config{PostgresURL: "postgres://alice:hunter2@" + dead.Addr().String() + "/adit"}, "no answer from Postgres"},
		"no such database":         {Config{PostgresURL: strings.Replace(database.URL(), "/postgres?", "/none?", 1)}, `database "none" does not exist`},
	} {
		ctx, cancel := t.Context(), func() {}
		if name == "nobody there" { // who may come yet
			ctx, cancel = context.WithTimeout(ctx, time.Second)
		}
		c.conf.StateKeys, c.conf.Logger = stateKeys(t), slog.New(slog.DiscardHandler)
		_, err := Open(ctx, c.conf)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}
