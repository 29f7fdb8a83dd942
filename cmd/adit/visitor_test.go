package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/terminal"
)

// visitor is somebody's browser on the laptop: HTTP with their cookies, and requests
// that say which page they are from.
type visitor struct {
	d    *deployment
	http http.Client
}

func (d *deployment) visitor() *visitor {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	transport := from(d.laptop)
	d.t.Cleanup(transport.CloseIdleConnections)
	return &visitor{d, http.Client{Jar: jar, Transport: transport, Timeout: patience}}
}

// from is HTTP from a host of the lab.
func from(h *netlab.Host) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = h.Do(func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}}
}

// signIn signs a user in who has the password of the test.
func (v *visitor) signIn(name string) {
	v.d.t.Helper()
	body := fmt.Sprintf(`{"username":%q,"password":"correct horse","cookie":true}`, name)
	if status, text := v.send("POST", "/api/v1/login", body); status != http.StatusOK {
		v.d.t.Fatalf("%s signs in: %d %s", name, status, text)
	}
}

// does is send of what must succeed.
func (v *visitor) does(method, path, body string) {
	v.d.t.Helper()
	if status, text := v.send(method, path, body); status >= http.StatusBadRequest {
		v.d.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
}

// send sends a request of a page of ours.
func (v *visitor) send(method, path, body string) (status int, text string) {
	v.d.t.Helper()
	req, err := http.NewRequest(method, v.d.url()+path, strings.NewReader(body))
	if err != nil {
		v.d.t.Fatal(err)
	}
	req.Header.Set("Origin", v.d.url())
	req.Header.Set("Content-Type", "application/json")
	resp, err := v.http.Do(req)
	if err != nil {
		v.d.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		v.d.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// aTerminal is a page's terminal.
type aTerminal struct {
	t  *testing.T
	ws *websocket.Conn

	mu      sync.Mutex // guards what follows
	shown   strings.Builder
	told    []terminal.Message
	over    error
	changed chan struct{} // closed and replaced with each message
	takes   bool          // it says what it took
}

// terminal opens a terminal of workspace dev; the status is the answer's where there is
// none.
func (v *visitor) terminal(t *testing.T, session, origin string) (a *aTerminal, status int) {
	t.Helper()
	at := v.d.url() + "/api/v1/workspaces/alice/dev/agents/main/terminal?columns=80&rows=24&session=" + url.QueryEscape(session)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := v.http
	client.Timeout = 0 // the context bounds it
	ws, resp, err := websocket.Dial(ctx, at, &websocket.DialOptions{HTTPClient: &client, HTTPHeader: http.Header{"Origin": {origin}}})
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	ws.SetReadLimit(terminal.MaxMessage)
	a = &aTerminal{t: t, ws: ws, changed: make(chan struct{}), takes: true}
	t.Cleanup(func() { ws.CloseNow() })
	go a.read(context.WithoutCancel(t.Context())) // ends with the connection
	return a, resp.StatusCode
}

func (a *aTerminal) read(ctx context.Context) {
	for {
		kind, p, err := a.ws.Read(ctx)
		a.mu.Lock()
		var m terminal.Message
		switch {
		case err != nil:
			a.over = err
		case kind == websocket.MessageBinary:
			a.shown.Write(p)
		default:
			a.over = json.Unmarshal(p, &m)
			a.told = append(a.told, m)
		}
		over, takes := a.over, a.takes
		close(a.changed)
		a.changed = make(chan struct{})
		a.mu.Unlock()
		if over != nil {
			return
		}
		if takes && kind == websocket.MessageBinary {
			_ = a.say(ctx, terminal.Message{Kind: terminal.KindTook, Bytes: len(p)}) // one that is over shows above
		}
	}
}

func (a *aTerminal) say(ctx context.Context, m terminal.Message) error {
	p, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return a.ws.Write(ctx, websocket.MessageText, p)
}

func (a *aTerminal) types(text string) {
	a.t.Helper()
	if err := a.ws.Write(a.t.Context(), websocket.MessageBinary, []byte(text)); err != nil {
		a.t.Error(err)
	}
}

// until waits for something to hold of what was shown and told.
func (a *aTerminal) until(what string, is func(shown string, told []terminal.Message, over error) bool) {
	a.t.Helper()
	timeout := time.After(patience)
	for {
		a.mu.Lock()
		shown, told, over, changed := a.shown.String(), a.told, a.over, a.changed
		a.mu.Unlock()
		if is(shown, told, over) {
			return
		}
		if over != nil {
			a.t.Fatalf("%s: it is over (%v), and showed %.2000q, told %+v", what, over, shown, told)
		}
		select {
		case <-changed:
		case <-timeout:
			a.t.Fatalf("%s: not within %v; it showed %.2000q, told %+v", what, patience, shown, told)
		}
	}
}

func (a *aTerminal) shows(text string) {
	a.t.Helper()
	a.until("it shows "+text, func(shown string, _ []terminal.Message, _ error) bool { return strings.Contains(shown, text) })
}

func (a *aTerminal) isTold(kind string) (m terminal.Message) {
	a.t.Helper()
	a.until("it is told "+kind, func(_ string, told []terminal.Message, _ error) bool {
		for _, m = range told {
			if m.Kind == kind {
				return true
			}
		}
		return false
	})
	return m
}

// ends waits for the end of the connection.
func (a *aTerminal) ends() {
	a.t.Helper()
	a.until("its end", func(_ string, _ []terminal.Message, over error) bool { return over != nil })
	var closed websocket.CloseError
	if a.mu.Lock(); !errors.As(a.over, &closed) {
		a.t.Logf("it ended by %v", a.over)
	}
	a.mu.Unlock()
}

// everythingIsTheServer has all names lead to the server, as a wildcard in DNS does.
func (v *visitor) everythingIsTheServer() {
	v.d.t.Helper()
	laptop, server := v.d.laptop, v.d.server.Addr().String()
	transport := from(laptop)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, net.JoinHostPort(server, port))
	}
	v.d.t.Cleanup(transport.CloseIdleConnections)
	v.http.Transport = transport
}

// ask sends a request that no page navigates by.
func (v *visitor) ask(t *testing.T, url string, header http.Header) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, list := range header {
		req.Header[k] = list
	}
	resp, err := v.http.Do(req)
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

// post sends a form from a page of some origin, and follows where it leads.
func (v *visitor) post(t *testing.T, url, origin string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Accept", "text/html")
	resp, err := v.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// preflight asks whether a page may send something, without a cookie as browsers do.
func (v *visitor) preflight(t *testing.T, url, origin string) (status int, head http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", "PUT")
	resp, err := (&http.Client{Transport: v.http.Transport, Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// socket opens a WebSocket from a page of some origin.
func (v *visitor) socket(t *testing.T, url, origin string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := v.http
	client.Timeout = 0
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &client, HTTPHeader: http.Header{"Origin": {origin}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

// echoes checks that a WebSocket's other end says what it hears.
func echoes(ctx context.Context, t *testing.T, ws *websocket.Conn) {
	t.Helper()
	if err := ws.Write(ctx, websocket.MessageText, []byte("heard")); err != nil {
		t.Fatal(err)
	}
	if _, p, err := ws.Read(ctx); err != nil || string(p) != "heard" {
		t.Fatalf("heard %q, %v", p, err)
	}
}
