package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aditmesh/adit/coordinator/auth"
)

// What has a label is read back as it was, and what has none is not mistaken.
func TestLabelsAreReadAsTheyWereWritten(t *testing.T) {
	part := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		a := Address{part.Draw(t, "what"), part.Draw(t, "agent"), part.Draw(t, "workspace"), part.Draw(t, "owner")}
		l := a.Label()
		if l == "" {
			return
		}
		if back, ok := parseLabel(l); !ok || back != a || len(l) > maxLabel {
			t.Fatalf("%+v is %s, and that is %+v, %v", a, l, back, ok)
		}
	})
}

func TestAddresses(t *testing.T) {
	d, err := ParseDomain("https://*.Apps.example.com:8443")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, label string }{
		{"3000--main--dev--alice.apps.example.com:8443", "3000--main--dev--alice"},
		{"3000--main--dev--alice.APPS.example.com", "3000--main--dev--alice"},
		{"x.apps.example.com", "x"},
		{"apps.example.com", ""}, {".apps.example.com", ""}, {"a.b.apps.example.com", ""}, {"evil-apps.example.com", ""}, {"example.com", ""}, {"[::1]:80", ""},
	} {
		if got, ok := d.has(&http.Request{Host: c.host}); ok != (c.label != "") || ok && got != c.label {
			t.Errorf("%s: %q, %v, want %q", c.host, got, ok, c.label)
		}
	}
	for what, url := range map[string]string{
		"3000": "https://3000--main--dev--alice.apps.example.com:8443/", "a--b": "", strings.Repeat("x", 60): "", "": "",
	} {
		if got := d.URL(Address{what, "main", "dev", "alice"}); got != url {
			t.Errorf("%s is at %q, want %q", what, got, url)
		}
	}
	for text, want := range map[string]struct {
		port       uint16
		secure, ok bool
	}{"80": {80, false, true}, "8443s": {8443, true, true}, "0": {}, "65536": {}, "080": {}, "site": {}, "s": {}, "-1": {}, "80ss": {}} {
		if port, secure, ok := (Address{What: text}).Port(); ok != want.ok || ok && (port != want.port || secure != want.secure) {
			t.Errorf("%s: %d, %v, %v", text, port, secure, ok)
		}
	}
	for _, text := range []string{"", "apps.example.com", "https://apps.example.com", "https://*.", "https://*.*.x", "ftp://*.x", "https://*.x/path", "https://u@*.x"} {
		if d, err := ParseDomain(text); err == nil {
			t.Errorf("%q is %+v", text, d)
		}
	}
	if d, err = ParsePaths("https://Apps.example.com:443"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, path, label string
		here              bool
	}{
		{"apps.example.com", "/3000--main--dev--alice/x", "3000--main--dev--alice", true},
		{"APPS.example.com:443", "/x", "x", true},
		{"apps.example.com", "/", "", true}, {"apps.example.com", "//x", "", true},
		{"apps.example.com:8443", "/x", "", false}, {"x.apps.example.com", "/x", "", false}, {"", "/x", "", false},
	} {
		if got, here := d.has(&http.Request{Host: c.host, URL: &url.URL{Path: c.path}}); here != c.here || got != c.label {
			t.Errorf("%s%s: %q, %v", c.host, c.path, got, here)
		}
	}
	long := strings.Repeat("x", 60)
	for what, want := range map[string]string{"3000": "https://apps.example.com/3000--main--dev--alice/", long: "https://apps.example.com/" + long + "--main--dev--alice/", "a/b": "", "a--b": ""} {
		if got := d.URL(Address{what, "main", "dev", "alice"}); got != want {
			t.Errorf("%s is at %q, want %q", what, got, want)
		}
	}
	for _, text := range []string{"", "apps.example.com", "https://*.apps.example.com", "https://", "https://x/path"} {
		if d, err := ParsePaths(text); err == nil {
			t.Errorf("%q is %+v", text, d)
		}
	}
	if none := (*Domain)(nil); none.URL(Address{"80", "a", "b", "c"}) != "" {
		t.Error("without a domain there is a URL")
	}
}

func TestOurCookiesDoNotGetToApps(t *testing.T) {
	for have, want := range map[string]string{
		"a=1; adit_session=x; b=2":                          "a=1; b=2",
		"__Host-adit_app=x;__host-ADIT_app=y":               "",
		"a=adit_app; not_adit_app=1":                        "a=adit_app; not_adit_app=1",
		"adit_app=1; __Secure-adit=2; =adit_x; x":           "__Secure-adit=2; =adit_x; x",
		"__Secure-adit_app=1; y":                            "y",
		"   adit_app_nonce   =1;;; theme=dark; adit_x":      "theme=dark",
		"quoted=\"a, b\"; __Host-adit_session=s; last=\"\"": "quoted=\"a, b\"; last=\"\"",
	} {
		h := http.Header{"Cookie": {have}}
		withoutOurs(h)
		if got := h.Get("Cookie"); got != want {
			t.Errorf("%q: %q, want %q", have, got, want)
		}
	}
	if got := withoutDomain("a=1; Path=/; domain = .example.com; Secure"); got != "a=1; Path=/; Secure" {
		t.Errorf("without a domain: %q", got)
	}
}

// What an app says of paths is of those below its own.
func TestWhatAnAppSaysIsBelowItsPath(t *testing.T) {
	const origin, base = "https://apps.example.com", "/80--main--dev--alice"
	for to, want := range map[string]string{
		"/x": base + "/x", "x": "x", "../x": "../x", origin: base + "/", origin + "/x?y#z": base + "/x?y#z", origin + ":8443/x": origin + ":8443/x",
		"https://elsewhere.example/x": "https://elsewhere.example/x", "//elsewhere.example/x": "//elsewhere.example/x", base + "/x": base + "/x", "%": "%",
	} {
		if got := locationBelow(to, origin, base); got != want {
			t.Errorf("to %s: %s, want %s", to, got, want)
		}
	}
	for line, want := range map[string]string{
		"a=1": "a=1; Path=" + base + "/", "a=1; Path=/; Secure": "a=1; Secure; Path=" + base + "/", "a=/; path=/x;HttpOnly": "a=/;HttpOnly; Path=" + base + "/x",
		"a=1; Path=" + base + "/x": "a=1; Path=" + base + "/x", "a=1; Path=x": "a=1; Path=" + base + "/",
	} {
		if got := cookieBelow(line, base); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestWhatIsGRPC(t *testing.T) {
	for kind, want := range map[string]bool{"application/grpc": true, "application/grpc+proto": true, "application/grpc;x=y": true, "application/grpc-web": false, "text/html": false, "": false} {
		if got := isGRPC(kind); got != want {
			t.Errorf("%q: %v", kind, got)
		}
	}
}

func TestWhereATicketLeads(t *testing.T) {
	for _, path := range []string{"", "x", "//evil.example", `/\evil.example`, "https://evil.example/", "/.adit/enter?ticket=x", "javascript:alert(1)", "/" + strings.Repeat("x", maxPath)} {
		if got := local(path); got != "/" {
			t.Errorf("%.40q leads to %.40q", path, got)
		}
	}
	if got := local("/a/b?c=d&e"); got != "/a/b?c=d&e" {
		t.Errorf("leads to %q", got)
	}
}

func TestPassesAreGoodOnceOrForATimeAndInOnePlace(t *testing.T) {
	var p passes
	who := auth.Identity{Kind: auth.User, Username: "alice"}
	ticket := p.give(pass{who: who, label: "a"}, ticketFor)
	if _, ok := p.take(ticket, "b"); ok {
		t.Error("good elsewhere")
	}
	if _, ok := p.take(ticket, "a"); ok {
		t.Error("good after it was tried elsewhere")
	}
	ticket = p.give(pass{who: who, label: "a"}, ticketFor)
	if got, ok := p.take(ticket, "a"); !ok || got.who.Username != "alice" {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := p.take(ticket, "a"); ok {
		t.Error("good twice")
	}
	if _, ok := p.see(p.give(pass{label: "a"}, -time.Second), "a"); ok {
		t.Error("good when it is over")
	}
	key := p.give(pass{who: who, label: "a"}, keyFor)
	for range 2 {
		if _, ok := p.see(key, "a"); !ok {
			t.Error("a key is good once")
		}
	}
}
