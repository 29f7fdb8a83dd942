package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// dot is an image of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// shows serves pages on a port of a host's localhost.
func (d *deployment) shows(h *netlab.Host, port string) {
	d.t.Helper()
	l := d.listens(h, port)
	pages := map[string][2]string{
		"/app/": {"text/html", `<!doctype html><title>App</title><link rel=stylesheet href=look.css>
			<h1 style="letter-spacing: 3px">First page</h1><img src="/dot.png"><img src="http://elsewhere.test/dot.png">
			<a href="second?of=2">On</a><script>document.body.append("a script ran")</script><p onclick="alert()">said</p>`},
		"/app/look.css":    {"text/css", `h1 { color: rgb(1, 2, 3) } body { background: url(../dot.png) }`},
		"/app/second?of=2": {"text/html; charset=utf-8", `<h1>Second page</h1>`},
		"/dot.png":         {"image/png", dot},
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.RequestURI()]
		switch {
		case r.URL.Path == "/":
			http.Redirect(w, r, "/app/", http.StatusFound)
			return
		case !ok:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", page[0])
		body := page[1]
		if page[0] == "image/png" {
			b, err := base64.StdEncoding.DecodeString(body)
			if err != nil {
				panic(err)
			}
			body = string(b)
		}
		_, _ = io.WriteString(w, body) // the visitor left
	})}
	go func() { _ = web.Serve(l) }() // ends with Close
	d.t.Cleanup(func() { web.Close() })
}

// previews checks that what a port shows comes to the page by a way: as a picture, with its
// styles and images, and without its scripts.
func (p onAPage) previews(at, by string) {
	p.t.Helper()
	var of struct {
		Text, Color, Spacing, Background, Said string
		Images                                 []int
	}
	if err := json.Unmarshal([]byte(p.does("previews "+at)), &of); err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(of.Text, "First page") || strings.Contains(of.Text, "a script ran") || of.Color != "rgb(1, 2, 3)" || of.Spacing != "3px" ||
		!strings.HasPrefix(of.Background, `url("data:image/png`) || len(of.Images) != 2 || of.Images[0] != 1 || of.Images[1] != 0 {
		p.t.Errorf("the page looks like %+v", of)
	}
	if !strings.HasPrefix(of.Said, "200, text/html") || !strings.Contains(of.Said, by) {
		p.t.Errorf("of the page is said %q, want %q", of.Said, by)
	}
}

// opened reports whether the audit log has that somebody opened a port.
func (d *deployment) opened(port string) bool {
	var list []sdk.AuditEntry
	d.json(&list, "audit", "--action", "workspace.open-app", "-o", "json")
	return slices.ContainsFunc(list, func(e sdk.AuditEntry) bool { return e.After["what"] == port })
}
