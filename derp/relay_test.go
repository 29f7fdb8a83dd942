package derp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/types/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg Config) (*Relay, string) {
	t.Helper()
	r, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(r.Handler())
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return r, web.URL + "/derp"
}

func admitAll(context.Context, [32]byte) (bool, error) { return true, nil }

func client(t *testing.T, url string, k key.NodePrivate) *derphttp.Client {
	t.Helper()
	c, err := derphttp.NewClient(k, url, t.Logf, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRelayCarriesPacketsBetweenAdmittedKeys(t *testing.T) {
	alice, bob, eve := key.NewNode(), key.NewNode(), key.NewNode()
	_, url := start(t, Config{Admit: func(_ context.Context, k [32]byte) (bool, error) {
		return k != [32]byte(eve.Public().AppendTo(nil)), nil
	}})
	a, b := client(t, url, alice), client(t, url, bob)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []*derphttp.Client{a, b} {
		if err := c.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Recv(); err != nil { // the server's greeting
			t.Fatalf("%T, %v", m, err)
		}
	}
	want := []byte("a sealed packet")
	if err := a.Send(bob.Public(), want); err != nil {
		t.Fatal(err)
	}
	m, err := b.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := m.(derp.ReceivedPacket); !ok || !bytes.Equal(p.Data, want) || p.Source != alice.Public() {
		t.Errorf("bob received %#v", m)
	}

	e := client(t, url, eve)
	if err := e.Connect(ctx); err == nil {
		if m, err := e.Recv(); err == nil {
			t.Errorf("a stranger was let in and received %#v", m)
		}
	}
}

func TestARelayThatNobodyVouchesToAdmitsNobody(t *testing.T) {
	_, url := start(t, Config{})
	c := client(t, url, key.NewNode())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Connect(ctx); err == nil {
		if m, err := c.Recv(); err == nil {
			t.Errorf("let in, and received %#v", m)
		}
	}
}

func TestAdmissionThatCannotBeDecidedIsRefused(t *testing.T) {
	_, url := start(t, Config{Admit: func(context.Context, [32]byte) (bool, error) {
		return true, errors.New("database away")
	}})
	c := client(t, url, key.NewNode())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Connect(ctx); err == nil {
		if m, err := c.Recv(); err == nil {
			t.Errorf("let in, and received %#v", m)
		}
	}
}

func TestSTUNAnswersOnBothPorts(t *testing.T) {
	r, _ := start(t, Config{STUN: []string{"127.0.0.1:0", "127.0.0.1:0"}})
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	for _, port := range r.STUNPorts() {
		to, _ := net.ResolveUDPAddr("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
		conn.WriteTo([]byte("not STUN at all"), to) // garbage first: no answer, no harm
		tx := stun.NewTxID()
		if _, err := conn.WriteTo(stun.Request(tx), to); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1500)
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		got, seen, err := stun.ParseResponse(buf[:n])
		if err != nil || got != tx || seen.String() != conn.LocalAddr().String() {
			t.Errorf("port %d answered %v, %v", port, seen, err)
		}
	}
}

func TestTakenSTUNPortIsAnError(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := Start(Config{STUN: []string{taken.LocalAddr().String()}}); err == nil {
		t.Error("started on a port that is taken")
	}
}

func TestGarbageOnTheRelaysPathIsRefused(t *testing.T) {
	_, url := start(t, Config{})
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a plain GET got %s", resp.Status)
	}
}

func TestKeySurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "relay.key")
	first, err := loadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadKey(file)
	if err != nil || !first.Equal(second) {
		t.Errorf("second start has another key (%v)", err)
	}
}
