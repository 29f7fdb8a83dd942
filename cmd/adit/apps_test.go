package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aditmesh/adit/pkg/sdk"
)

// Ports and an app of a workspace, each for others.
const served = `
resource "adit_app" "site" {
  agent_id = adit_agent.main.id
  slug     = "site"
  url      = "http://localhost:18300/start?here=1"
}
resource "adit_port" "team" {
  agent_id   = adit_agent.main.id
  port       = 18301
  visibility = "authenticated"
}
resource "adit_port" "open" {
  agent_id   = adit_agent.main.id
  port       = 18302
  visibility = "public"
}
`

// probe is a page that says what it gets at: a script of its own, its cookies, what it
// is to browsers, another page and an API that it is told of.
const probe = `<!doctype html><title>probe</title><script type="module">
import { script } from "./probe.js";
const query = new URLSearchParams(location.search);
const gets = (url) => fetch(url, { credentials: "include" }).then((r) => (r.ok ? "read" : "refused"), () => "refused");
let cookie = "refused";
try { cookie = document.cookie; } catch {}
const saw = { script, cookie, origin: String(self.origin), other: await gets(query.get("other")), api: await gets(query.get("api")) };
document.body.innerHTML = '<pre id="done"></pre>';
document.getElementById("done").textContent = JSON.stringify(saw);
</script><body></body>`

// seen is what an app tells of a request that came to it.
type seen struct {
	Host, Path string
	Header     http.Header
	Body       int64
}

// serveApps has an app answer on ports of the host that workspaces are on.
func serveApps(t *testing.T, d *deployment, ports ...int) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Add("Set-Cookie", "own=1; Path=/; Domain="+r.Host)
		w.Header().Add("Set-Cookie", "adit_app=stolen; Path=/")
		_ = json.NewEncoder(w).Encode(seen{r.Host, r.URL.RequestURI(), r.Header, n}) // the visitor left
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; r.Context().Err() == nil; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond): // as often as it has something to tell
			case <-r.Context().Done():
			}
		}
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil) // which wants the page's origin to be its own host
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for {
			kind, p, err := ws.Read(r.Context())
			if err != nil || ws.Write(r.Context(), kind, p) != nil {
				return
			}
		}
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to")) // as it is
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/probe", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "own=1; Path=/")
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, probe) // the visitor left
	})
	mux.HandleFunc("/probe.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, "export const script = 'ran';") // the visitor left
	})
	mux.HandleFunc("/much", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, rand.Reader, 32<<20) // the visitor left
	})
	for _, port := range ports {
		var l net.Listener
		if err := d.server.Do(func() (err error) {
			l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		web := &http.Server{Handler: mux}
		go func() { _ = web.Serve(l) }() // ends with Close
		t.Cleanup(func() { web.Close() })
	}
}

// serveGRPC has something answer as gRPC does, which is by HTTP/2 alone, with trailers.
func serveGRPC(t *testing.T, d *deployment, port int) {
	t.Helper()
	var l net.Listener
	if err := d.server.Do(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = io.Copy(w, r.Body) // the visitor left
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})}
	web.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = web.Serve(l) }() // ends with Close
	t.Cleanup(func() { web.Close() })
}

// opens2 calls what speaks gRPC, by HTTP/2 all the way.
func (v *visitor) opens2(t *testing.T, url string) {
	t.Helper()
	// Nothing but gRPC is to be had there, also by its page: that gets a key all the same.
	v.page(url)
	dial := v.http.Transport.(*http.Transport).DialContext
	by2 := &http.Transport{DialContext: dial, Protocols: new(http.Protocols)}
	by2.Protocols.SetUnencryptedHTTP2(true)
	defer by2.CloseIdleConnections()
	client := http.Client{Jar: v.http.Jar, Transport: by2, Timeout: patience}
	resp, err := client.Post(url, "application/grpc", strings.NewReader("a call"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 || string(text) != "a call" || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%s %s %q, trailer %v, %v", resp.Proto, resp.Status, text, resp.Trailer, err)
	}
}

// page asks for something as a browser asks for a page, and follows where it leads.
func (v *visitor) page(url string) (status int, text string, at string) {
	v.d.t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		v.d.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	resp, err := v.http.Do(req)
	if err != nil {
		v.d.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		v.d.t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Request.URL.String()
}

// opens opens an app, which is to tell what it saw.
func (v *visitor) opens(url string) seen {
	v.d.t.Helper()
	status, text, at := v.page(url)
	var s seen
	if err := json.Unmarshal([]byte(text), &s); status != http.StatusOK || err != nil {
		v.d.t.Fatalf("%s: %d %.500s at %s", url, status, text, at)
	}
	return s
}

func appURL(what, path string) string {
	return "http://" + what + "--main--dev--alice.apps.test:7080" + path
}

// What listens in a workspace, in a browser: by names of its own, for those who may.
func TestAppsInTheBrowser(t *testing.T) {
	d := deployWithTemplate(t, "process", served, "--wildcard-url", "http://*.apps.test:7080")
	d.must("create", "dev", "--template", "process")
	t.Cleanup(func() { _, _ = d.adit("delete", "-y", "dev") })
	serveApps(t, d, 18300, 18301, 18302)
	alice, bob, nobody := d.visitor(), d.visitor(), d.visitor()
	for _, v := range []*visitor{alice, bob, nobody} {
		v.everythingIsTheServer()
	}
	alice.signIn("alice")
	alice.does("POST", "/api/v1/users", `{"username":"bob","email":"bob@example.com","password":"correct horse"}`)
	bob.signIn("bob")

	t.Run("where they are", func(t *testing.T) {
		var apps sdk.List[sdk.WorkspaceApp]
		_, text := alice.send("GET", "/api/v1/workspaces/me/dev/apps", "")
		if err := json.Unmarshal([]byte(text), &apps); err != nil || len(apps.Items) != 1 || apps.Items[0].Link != appURL("site", "/start?here=1") {
			t.Errorf("%s, %v", text, err)
		}
		var ports sdk.List[sdk.Port]
		_, text = alice.send("GET", "/api/v1/workspaces/me/dev/ports", "")
		if err := json.Unmarshal([]byte(text), &ports); err != nil || !slices.ContainsFunc(ports.Items, func(p sdk.Port) bool { return p.Link == appURL("18302", "/") }) {
			t.Errorf("%s, %v", text, err)
		}
	})

	t.Run("who may", func(t *testing.T) {
		for _, c := range []struct {
			what   string
			who    *visitor
			url    string
			status int
			says   string
		}{
			{"the owner's app, its owner", alice, appURL("site", "/a?b=c"), 200, `"/a?b=c"`},
			{"a port that the template does not name, its owner", alice, appURL("18300", "/"), 200, `"/"`},
			{"the owner's app, somebody else", bob, appURL("site", "/"), 404, "not shared with you"},
			{"for all who sign in, somebody", bob, appURL("18301", "/"), 200, `"/"`},
			{"for all who sign in, nobody", nobody, appURL("18301", "/"), 200, "<div id=\"root\">"}, // the dashboard, or that there is none
			{"for everybody, nobody", nobody, appURL("18302", "/x"), 200, `"/x"`},
			{"the agent's own SSH", alice, appURL("22", "/"), 404, "Nothing here"},
			{"no such app", alice, appURL("none", "/"), 404, "Nothing here"},
			{"no such workspace", alice, "http://18300--main--none--alice.apps.test:7080/", 404, "Nothing here"},
			{"nothing listens", alice, appURL("18399", "/"), 502, "Nothing answers on port 18399"},
			{"a name that is none", alice, "http://a--b.apps.test:7080/", 404, "Nothing here"},
		} {
			status, text, at := c.who.page(c.url)
			if strings.Contains(c.says, "root") {
				if !strings.Contains(at, "/login?next=%2Fopen") {
					t.Errorf("%s: led to %s", c.what, at)
				}
				continue
			}
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("%s: %d %.300s at %s, want %d and %s", c.what, status, text, at, c.status, c.says)
			}
		}
		if status, text := nobody.ask(t, appURL("18301", "/api"), nil); status != http.StatusUnauthorized {
			t.Errorf("what is no page: %d %s", status, text)
		}
	})

	t.Run("what the app sees", func(t *testing.T) {
		s := alice.opens(appURL("site", "/"))
		if s.Host != "site--main--dev--alice.apps.test:7080" || s.Header.Get("X-Forwarded-Host") != s.Host || s.Header.Get("X-Forwarded-Proto") != "http" ||
			s.Header.Get("X-Forwarded-For") == "" || strings.Contains(s.Header.Get("X-Forwarded-For"), ",") {
			t.Errorf("%+v", s)
		}
		if s = alice.opens(appURL("site", "/")); s.Header.Get("Cookie") != "own=1" {
			t.Errorf("cookies: %q, want the app's own alone", s.Header.Get("Cookie"))
		}
		if s = alice.opens(appURL("18300", "/")); s.Header.Get("Cookie") != "" && s.Header.Get("Cookie") != "own=1" {
			t.Errorf("another app's cookies: %q", s.Header.Get("Cookie"))
		}
	})

	t.Run("tickets", func(t *testing.T) {
		fresh, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		thief := *nobody
		thief.http.Jar = fresh
		ticket := ""
		alice.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/.adit/enter" { // and goes no further
				ticket = r.URL.String()
				return http.ErrUseLastResponse
			}
			return nil
		}
		alice.page(appURL("18305", "/"))
		alice.http.CheckRedirect = nil
		if ticket == "" {
			t.Fatal("no ticket")
		}
		if _, _, at := thief.page(ticket); !strings.Contains(at, "/login") {
			t.Errorf("another's ticket leads to %s", at)
		}
		if _, _, at := alice.page(ticket); strings.Contains(at, "ticket") {
			t.Errorf("used twice it stays at %s", at)
		}
	})

	t.Run("what goes through", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		body := make([]byte, 20<<20)
		resp, err := alice.http.Post(appURL("18300", "/up"), "application/octet-stream", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var s seen
		if err := errors.Join(json.NewDecoder(resp.Body).Decode(&s), resp.Body.Close()); err != nil || s.Body != int64(len(body)) {
			t.Errorf("of an upload %d bytes came, %v", s.Body, err)
		}
		if resp, err = alice.http.Get(appURL("18300", "/much")); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 32<<20 {
			t.Errorf("of a download %d bytes came, %v", n, err)
		}
		resp.Body.Close()
		if resp, err = alice.http.Get(appURL("18300", "/events")); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 9)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "data: 0\n\n" {
			t.Errorf("the first event is %q, %v", first, err)
		}
		resp.Body.Close()
		ws := alice.socket(t, appURL("18300", "/echo"), appURL("18300", ""))
		echoes(ctx, t, ws)
	})

	t.Run("gRPC to what speaks no TLS", func(t *testing.T) {
		serveGRPC(t, d, 18303)
		alice.opens2(t, appURL("18303", "/"))
	})

	t.Run("pages of the same workspace, and of others", func(t *testing.T) {
		sibling, other := appURL("site", ""), "http://18300--main--other--alice.apps.test:7080"
		for _, c := range []struct {
			origin string
			status int
			allow  string
		}{{sibling, 204, sibling}, {other, 403, ""}, {"https://evil.example", 403, ""}, {"http://apps.test:7080", 403, ""}} {
			status, head := nobody.preflight(t, appURL("18300", "/"), c.origin)
			if status != c.status || head.Get("Access-Control-Allow-Origin") != c.allow {
				t.Errorf("%s: %d %v", c.origin, status, head)
			}
		}
		if status, _ := nobody.preflight(t, appURL("18302", "/"), "https://elsewhere.example"); status != http.StatusOK {
			t.Errorf("a public app is to answer itself: %d", status)
		}
		for origin, want := range map[string]int{sibling: 200, appURL("18300", ""): 200, other: 403, "https://evil.example": 403, "null": 403} {
			if status := alice.post(t, appURL("18300", "/"), origin); status != want {
				t.Errorf("a form of %s: %d, want %d", origin, status, want)
			}
		}
		if status := alice.post(t, appURL("18302", "/"), "https://elsewhere.example"); status != http.StatusOK {
			t.Errorf("a form for a public app: %d", status)
		}
	})

	t.Run("access that ends ends what is open", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		alice.does("PUT", "/api/v1/workspaces/me/dev/shares/users/bob", `{"level":"apps"}`)
		bob.opens(appURL("18300", "/"))
		ws, mine := bob.socket(t, appURL("18300", "/echo"), appURL("18300", "")), alice.socket(t, appURL("18300", "/echo"), appURL("18300", ""))
		echoes(ctx, t, ws)
		alice.does("DELETE", "/api/v1/workspaces/me/dev/shares/users/bob", "")
		if _, _, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("what is shared no longer goes on: %v", err)
		}
		if status, _, _ := bob.page(appURL("18300", "/")); status != http.StatusNotFound {
			t.Errorf("and can be opened: %d", status)
		}
		echoes(ctx, t, mine)
	})

	t.Run("a port that becomes private closes what is open", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		theirs, mine := nobody.socket(t, appURL("18302", "/echo"), appURL("18302", "")), alice.socket(t, appURL("18302", "/echo"), appURL("18302", ""))
		echoes(ctx, t, theirs)
		d.must("ports", "dev", "--port", "18302", "--visibility", "owner")
		for _, ws := range []*websocket.Conn{theirs, mine} { // whose, a public port does not know
			if _, _, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
				t.Errorf("what was open goes on: %v", err)
			}
		}
		if status, text := nobody.ask(t, appURL("18302", "/x"), nil); status != http.StatusUnauthorized {
			t.Errorf("and can be opened: %d %s", status, text)
		}
		alice.opens(appURL("18302", "/x"))
		d.must("ports", "dev", "--port", "18300", "--visibility", "public")
		if status, text := nobody.ask(t, appURL("18300", "/x"), nil); status != http.StatusOK {
			t.Errorf("a port that becomes public: %d %s", status, text)
		}
		d.must("ports", "dev", "--port", "18302", "--visibility", "template")
		if status, text := nobody.ask(t, appURL("18302", "/x"), nil); status != http.StatusOK {
			t.Errorf("a port as its template has it: %d %s", status, text)
		}
		d.must("ports", "dev", "--port", "18300", "--visibility", "template")
		if out := d.must("audit", "--action", "port.created", "-o", "json"); !strings.Contains(out, "18302") {
			t.Errorf("the audit log lacks the port: %s", out)
		}
	})

	t.Run("what is noted", func(t *testing.T) {
		out := d.must("audit", "--action", "workspace.open-app", "-o", "json")
		for _, want := range []string{`"alice"`, `"bob"`, "public", "authenticated"} {
			if !strings.Contains(out, want) {
				t.Errorf("the audit log lacks %s: %s", want, out)
			}
		}
	})

	t.Run("a stopped workspace is started from its app's page", func(t *testing.T) {
		d.must("stop", "dev")
		status, text, at := alice.page(appURL("18300", "/"))
		if status != http.StatusServiceUnavailable || !strings.Contains(text, "alice/dev is stopped") || !strings.Contains(text, "Start it") {
			t.Fatalf("%d %s at %s", status, text, at)
		}
		if status := alice.post(t, appURL("18300", "/.adit/start"), "https://evil.example"); status != http.StatusForbidden {
			t.Errorf("another site starts it: %d", status)
		}
		if status := alice.post(t, appURL("18300", "/.adit/start"), appURL("18300", "")); status >= 400 && status != http.StatusServiceUnavailable {
			t.Errorf("started: %d", status)
		}
		d.eventually("the app after a start", func() bool {
			status, _, _ := alice.page(appURL("18300", "/"))
			return status == http.StatusOK
		})
	})
}
