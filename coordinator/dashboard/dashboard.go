// Package dashboard serves the pages that people use in a browser: one script,
// which asks the API for everything it shows. It is made of what is in web by
// make dashboard, and embedded as it is found. A coordinator that was built
// without it serves a page that says how to get it.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/coordinator/request"
)

// site has absent.html and, once it was built, the dashboard itself below built.
//
//go:embed site
var site embed.FS

// policy lets pages have scripts and styles that are files of ours, speak to us,
// and nothing else: what somebody writes into a log runs nowhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// pages are where the dashboard's pages begin; what is below them are pages, too.
var pages = []string{"setup", "login", "workspaces", "new", "templates", "mesh", "health", "admin", "account"}

// worthPacking is how small a file is sent as it is.
const worthPacking = 1 << 10

// Handler serves the dashboard. Each of its Patterns is to lead to it.
type Handler struct {
	built fs.FS // nil without a dashboard
	files map[string]*file
}

// New returns the dashboard that is embedded.
func New() *Handler { return newHandler(site) }

func newHandler(from fs.FS) *Handler {
	h := &Handler{files: make(map[string]*file)}
	if built, err := fs.Sub(from, "site/built"); err == nil {
		if _, err := fs.Stat(built, "index.html"); err == nil {
			h.built = built
		}
	}
	if h.built == nil {
		h.built, _ = fs.Sub(from, "site") // of a valid name: no error
		h.files["index.html"] = load(h.built, "absent.html")
		h.files["assets/absent.css"] = load(h.built, "absent.css")
		return h
	}
	// What cannot be read is not there: the files are part of the program.
	_ = fs.WalkDir(h.built, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			h.files[name] = load(h.built, name)
		}
		return nil
	})
	return h
}

// Patterns are what http.ServeMux is to send here.
func (h *Handler) Patterns() []string {
	list := []string{"GET /{$}", "GET /assets/", "GET /favicon.svg"}
	for _, p := range pages {
		list = append(list, "GET /"+p, "GET /"+p+"/")
	}
	return list
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Content-Security-Policy", policy)
	request.SetRoute(r.Context(), "/") // for metrics, which need not tell pages apart
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	f, isFile := h.files[name]
	switch {
	case isFile && strings.HasPrefix(name, "assets/"):
		head.Set("Cache-Control", "public, max-age=31536000, immutable") // their names have their digest
	case isFile:
		head.Set("Cache-Control", "no-cache")
	case strings.HasPrefix(name, "assets/") || path.Ext(name) == ".svg":
		http.NotFound(w, r)
		return
	default: // a page: which, the script knows
		f = h.files["index.html"]
		head.Set("Cache-Control", "no-cache")
	}
	f.serve(w, r)
}

// file is a file as it is sent.
type file struct {
	kind, tag string
	plain     []byte
	packed    func() []byte // with gzip; nil if that gains nothing
}

func load(from fs.FS, name string) *file {
	plain, err := fs.ReadFile(from, name)
	if err != nil {
		panic(err) // it is part of the program
	}
	sum := sha256.Sum256(plain)
	return &file{
		kind: mime.TypeByExtension(path.Ext(name)), tag: hex.EncodeToString(sum[:8]), plain: plain,
		packed: sync.OnceValue(func() []byte { return pack(plain) }),
	}
}

// pack compresses as well as gzip can: it is done once.
func pack(plain []byte) []byte {
	if len(plain) < worthPacking {
		return nil
	}
	var to bytes.Buffer
	z, err := gzip.NewWriterLevel(&to, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := z.Write(plain); err != nil || z.Close() != nil || to.Len() >= len(plain) {
		return nil
	}
	return to.Bytes()
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", f.kind)
	head.Set("Vary", "Accept-Encoding")
	body, tag := f.plain, f.tag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		if packed := f.packed(); packed != nil {
			body, tag = packed, tag+"-gzip"
			head.Set("Content-Encoding", "gzip")
		}
	}
	head.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
