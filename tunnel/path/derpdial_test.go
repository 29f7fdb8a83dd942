package path

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tailscale.com/derp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// relayBehind is a real DERP server behind something that does with upgrades to DERP
// what it does.
func relayBehind(t *testing.T, upgrade func(http.ResponseWriter, *http.Request)) *url.URL {
	t.Helper()
	s := derpserver.New(key.NewNode(), logger.Discard)
	relay := derpserver.AddWebSocketSupport(s, derpserver.Handler(s))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if upgrade != nil && strings.EqualFold(r.Header.Get("Upgrade"), "derp") {
			upgrade(w, r)
			return
		}
		relay.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.Close()
		web.CloseClientConnections()
		web.Close()
	})
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Whatever breaks the upgrade to DERP, a WebSocket gets through.
func TestARelayIsReachedByWhatGetsThrough(t *testing.T) {
	for name, c := range map[string]struct {
		upgrade   func(http.ResponseWriter, *http.Request)
		webSocket bool
	}{
		"nothing":    {nil, false},
		"a refusal":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) }, true},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, true},
		"a hang-up": {func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				conn.Close()
			}
		}, true},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			u, priv := relayBehind(t, c.upgrade), key.NewNode()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			d, err := dialDERP(ctx, u, "", priv, nil, logger.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			if d.webSocket != c.webSocket || !d.localAddr().IsLoopback() {
				t.Errorf("by WebSocket: %v, from %v", d.webSocket, d.localAddr())
			}
			for _, size := range []int{1, 1280, relayFlushAt - 100} {
				if err := d.client.Send(priv.Public(), make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				if err := d.flush(); err != nil {
					t.Fatal(err)
				}
				for {
					m, err := d.client.Recv()
					if err != nil {
						t.Fatal(err)
					}
					if p, ok := m.(derp.ReceivedPacket); ok {
						if len(p.Data) != size {
							t.Errorf("%d bytes came back of %d", len(p.Data), size)
						}
						break
					}
				}
			}
		})
	}
}

func TestWhatIsNoRelayIsSaidToBeNone(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	for at, want := range map[string]string{web.URL: "404", "http://" + l.Addr().String(): "refused"} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		_, err = dialDERP(t.Context(), u, "", key.NewNode(), nil, logger.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in one line", at, err, want)
		}
	}
}
