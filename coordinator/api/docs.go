package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

// docs is the page that shows the OpenAPI document. It needs nothing from
// elsewhere: a deployment may have no way out.
//
//go:embed docs
var docs embed.FS

// docsPolicy lets the page have its own script, style and document, and nothing
// else.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// serveDocs serves the document, which is complete, and its page.
func serveDocs(r chi.Router, doc *huma.OpenAPI) {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err) // the same at every start: a test sees it
	}
	r.Get("/api/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		// The connection is gone if this fails.
		_, _ = w.Write(raw)
	})
	serve := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			text, err := fs.ReadFile(docs, path.Join("docs", name))
			if err != nil {
				noSuchPath(w, r)
				return
			}
			w.Header().Set("Content-Security-Policy", docsPolicy)
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
		}
	}
	r.Get("/api/docs", serve("index.html"))
	r.Get("/api/docs/docs.js", serve("docs.js"))
	r.Get("/api/docs/docs.css", serve("docs.css"))
}
