package derp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/types/key"
)

type receiver interface {
	Recv() (derp.ReceivedMessage, error)
}

// exchange sends one packet from a to b and checks it.
func exchange(t *testing.T, a *derphttp.Client, from key.NodePublic, b receiver, to key.NodePublic) {
	t.Helper()
	want := []byte("a sealed packet")
	if err := a.Send(to, want); err != nil {
		t.Fatal(err)
	}
	m, err := b.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := m.(derp.ReceivedPacket); !ok || !bytes.Equal(p.Data, want) || p.Source != from {
		t.Errorf("received %#v", m)
	}
}

// connect connects c and takes the relay's greeting.
func connect(t *testing.T, c *derphttp.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Recv(); err != nil {
		t.Fatalf("%T, %v", m, err)
	}
}

func TestRelayWorksOverTLS(t *testing.T) {
	r, err := Start(Config{Admit: admitAll})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(r.Handler())
	t.Cleanup(func() {
		r.Close()
		web.Close()
	})
	trusted := web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	alice, bob := key.NewNode(), key.NewNode()
	a, b := client(t, web.URL+"/derp", alice), client(t, web.URL+"/derp", bob)
	for _, c := range []*derphttp.Client{a, b} {
		c.TLSConfig = &tls.Config{RootCAs: trusted}
		connect(t, c)
	}
	exchange(t, a, alice.Public(), b, bob.Public())
}

// A proxy may pass WebSockets and no other upgrade.
func TestRelayWorksOverAWebSocket(t *testing.T) {
	_, at := start(t, Config{Admit: admitAll})
	alice, bob := key.NewNode(), key.NewNode()
	a := client(t, at, alice)
	connect(t, a)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, at, &websocket.DialOptions{Subprotocols: []string{"derp"}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	conn := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	b, err := derp.NewClient(bob, conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := b.Recv(); err != nil {
		t.Fatalf("%T, %v", m, err)
	}
	exchange(t, a, alice.Public(), b, bob.Public())
}

// Each of these connections must be ended by the relay, and a client beside
// them must not notice.
func TestGarbageHarmsNobodyElse(t *testing.T) {
	_, at := start(t, Config{Admit: admitAll})
	alice, bob := key.NewNode(), key.NewNode()
	a, b := client(t, at, alice), client(t, at, bob)
	connect(t, a)
	connect(t, b)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 64<<10)
	rand.Read(noise)
	const upgrade = "GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
	for name, sent := range map[string][]byte{
		"no HTTP":              noise,
		"noise after upgrade":  append([]byte(upgrade+"\r\n"), noise...),
		"noise at fast start":  append([]byte(upgrade+derp.FastStartHeader+": 1\r\n\r\n"), noise...),
		"frame of 4 GiB":       append([]byte(upgrade+"\r\n"), "\x02\xff\xff\xff\xff"...),
		"upgrade that is none": []byte("GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: tea\r\nConnection: close\r\n\r\n"),
		"unknown path":         []byte("GET /derp/../etc HTTP/1.0\r\n\r\n"),
	} {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(15 * time.Second)) // the relay gives a handshake 10 s
		go conn.Write(sent)
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: still open after 15 s", name)
		}
		conn.Close()
	}
	exchange(t, a, alice.Public(), b, bob.Public())
}

// The library panics at it; what net/http logs of a panic is no clear error.
func TestKeyOfZerosEndsItsConnectionQuietly(t *testing.T) {
	r, err := Start(Config{Admit: admitAll})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	web := httptest.NewUnstartedServer(r.Handler())
	web.Config.ErrorLog = log.New(&logged, "", 0)
	web.Start()
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	clientInfo := append([]byte{2, 0, 0, 0, 100}, make([]byte, 100)...)
	if _, err := conn.Write(append([]byte("GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"), clientInfo...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection ended with %v", err)
	}
	r.Close()
	web.Close() // its goroutines are done with the log
	if logged.Len() > 0 {
		t.Errorf("net/http logged:\n%s", logged.String())
	}
}

func TestProbePathsAnswer(t *testing.T) {
	_, at := start(t, Config{Admit: admitAll})
	base := strings.TrimSuffix(at, "/derp")
	for path, want := range map[string]int{
		"/derp/probe":         http.StatusOK,
		"/derp/latency-check": http.StatusOK,
		"/generate_204":       http.StatusNoContent,
	} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answered %s, want %d", path, resp.Status, want)
		}
	}
}

func TestCloseDisconnectsClientsAndWaits(t *testing.T) {
	r, at := start(t, Config{STUN: []string{"127.0.0.1:0"}, Admit: admitAll})
	c := client(t, at, key.NewNode())
	connect(t, c)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Recv(); err == nil {
		t.Errorf("received %#v from a closed relay", m)
	}
}

func TestUnreadableKeyIsAnErrorAndNotReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "relay.key")
	if err := os.WriteFile(file, []byte("privkey:0000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Config{KeyFile: file}); err == nil {
		t.Error("started with a broken key")
	}
	if left, err := os.ReadFile(file); err != nil || string(left) != "privkey:0000" {
		t.Errorf("the file now holds %q, %v", left, err)
	}
}

func TestKeyIsReadableByItsOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "relay.key")
	if _, err := loadKey(file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}
