package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/pkg/terminal"
)

// A terminal in a browser: through the coordinator's own node, for those who may, and
// from a page of ours. Its session is one of the agent's, and outlives the page.
func TestTerminalsInTheBrowser(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	nobody, alice, bob := d.visitor(), d.visitor(), d.visitor()
	alice.signIn("alice")
	alice.does("POST", "/api/v1/users", `{"username":"bob","email":"bob@example.com","password":"correct horse"}`)
	bob.signIn("bob")

	for _, c := range []struct {
		what   string
		who    *visitor
		origin string
		status int
	}{
		{"nobody is signed in", nobody, d.url(), http.StatusUnauthorized},
		{"another site's page", alice, "https://evil.example", http.StatusForbidden},
		{"an app's page, on a name below", alice, "http://app." + strings.TrimPrefix(d.url(), "http://"), http.StatusForbidden},
		{"what is no browser, with a browser's cookie", alice, "", http.StatusForbidden},
	} {
		if _, status := c.who.terminal(t, "web", c.origin); status != c.status {
			t.Errorf("%s: %d, want %d", c.what, status, c.status)
		}
	}

	first, _ := alice.terminal(t, "web", d.url())
	first.types("X=kept; stty size; echo said-$((40+2))\n")
	first.shows("24 80")
	first.shows("said-42")
	if err := first.say(t.Context(), terminal.Message{Kind: terminal.KindSize, Columns: 101, Rows: 31}); err != nil {
		t.Fatal(err)
	}
	first.types("stty size\n")
	first.shows("31 101")
	if err := first.say(t.Context(), terminal.Message{Kind: terminal.KindPing}); err != nil {
		t.Fatal(err)
	}
	if m := first.isTold(terminal.KindPong); m.Path == "" {
		t.Errorf("a pong without a path: %+v", m)
	}

	// The page is loaded again: the session is what it was, with what it showed.
	first.ws.CloseNow()
	second, _ := alice.terminal(t, "web", d.url())
	second.shows("said-42")
	second.types("echo $X-still\n")
	second.shows("kept-still")

	t.Run("others", func(t *testing.T) {
		stranger, _ := bob.terminal(t, "web", d.url())
		if m := stranger.isTold(terminal.KindFailed); m.Again || !strings.Contains(m.Text, "no such workspace") {
			t.Errorf("a stranger is told %+v", m)
		}
		alice.does("PUT", "/api/v1/workspaces/me/dev/shares/users/bob", `{"level":"connect"}`)
		guest, _ := bob.terminal(t, "web", d.url())
		guest.types("echo from-$((1+1))\n")
		guest.shows("from-2")
		second.shows("from-2")
		alice.does("DELETE", "/api/v1/workspaces/me/dev/shares/users/bob", "")
		guest.ends()
		second.types("echo alice-stays\n")
		second.shows("alice-stays")
	})

	t.Run("figures", func(t *testing.T) { terminalFigures(t, alice, d) })

	second.types("exit\n")
	second.isTold(terminal.KindExit)

	third, _ := alice.terminal(t, "other", d.url())
	third.types("echo up\n")
	third.shows("up")
	if err := third.say(t.Context(), terminal.Message{Kind: terminal.KindEnd}); err != nil {
		t.Fatal(err)
	}
	third.isTold(terminal.KindExit)

	d.eventually("the history of sessions", func() bool {
		var list sdk.List[sdk.SSHSession]
		d.json(&list.Items, "sessions", "dev", "--history", "-o", "json")
		return slices.ContainsFunc(list.Items, func(s sdk.SSHSession) bool {
			return s.User == "bob" && s.Kind == "terminal" && s.EndedAt != nil && s.RxBytes > 0 && s.TxBytes > 0
		}) && !slices.ContainsFunc(list.Items, func(s sdk.SSHSession) bool { return s.User == "" })
	})

	// The agent goes: whoever looks is told, and may try again.
	last, _ := alice.terminal(t, "last", d.url())
	last.types("echo up\n")
	last.shows("up")
	d.agentProc.stop()
	last.ends()
	d.agentIs("disconnected")
	away, _ := alice.terminal(t, "last", d.url())
	if m := away.isTold(terminal.KindFailed); !m.Again || !strings.Contains(m.Text, "disconnected") {
		t.Errorf("an agent that is away: %+v", m)
	}
}

// terminalFigures measures the echo of a key, also while much is shown, and how fast
// that is.
func terminalFigures(t *testing.T, v *visitor, d *deployment) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, _ := v.terminal(t, "figures", d.url())
	a.types("stty -echo raw; exec cat\n")
	var pings, echoes []time.Duration
	for i := range 200 {
		key := string(rune('a' + i%26))
		a.mu.Lock()
		before := a.shown.Len()
		a.mu.Unlock()
		start := time.Now()
		a.types(key)
		a.until("an echo", func(shown string, _ []terminal.Message, _ error) bool { return len(shown) > before })
		if i >= 20 { // the first is the prompt's
			echoes = append(echoes, time.Since(start))
		}
		start = time.Now()
		if err := a.ws.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		pings = append(pings, time.Since(start))
	}
	t.Logf("echo p50 %v p95 %v, ping of the WebSocket p50 %v p95 %v", quantile(echoes, 0.5), quantile(echoes, 0.95), quantile(pings, 0.5), quantile(pings, 0.95))
	a.ws.CloseNow()

	const much = 10 << 20
	b, _ := v.terminal(t, "much", d.url())
	b.types("stty -echo; echo ready-$((1+1))\n")
	b.shows("ready-2")
	start := time.Now()
	b.types("head -c 10485760 /dev/zero | tr '\\0' x; echo done-$((1+1))\n")
	b.types("read line; echo read-$line\nkept\n") // typed while it is shown
	b.shows("done-2")
	took := time.Since(start)
	b.shows("read-kept")
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := strings.Count(b.shown.String(), "x"); n < much {
		t.Errorf("%d bytes were shown of %d", n, much)
	}
	t.Logf("10 MB in %v", took)
	_ = b.ws.Close(websocket.StatusNormalClosure, "")
}

func quantile(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}
