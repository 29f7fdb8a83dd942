package proxy

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"

	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/store"
)

// pagePolicy lets our own pages on an app's host have their style, and send a form
// there; nothing that the app may have left runs in them.
const pagePolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS []byte

// page is what page.html shows.
type page struct {
	Title, Text string
	// Start is where a form starts the workspace; empty if that is not to be had.
	Start string
	// Again has the page be loaded again by itself.
	Again bool
	// Dashboard is where the dashboard is.
	Dashboard, Style string
}

// ServeStyle serves the style of our own pages.
func ServeStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(pageCSS) // the browser has left if this fails
}

// fail says why there is nothing to see.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, label string, err error) {
	var stopped errStopped
	var away errAway
	status, pg := http.StatusServiceUnavailable, page{Title: "That does not work right now", Text: "Try again in a moment.", Again: true}
	switch {
	case errors.As(err, &stopped):
		w := stopped.workspace
		pg.Title, pg.Text = fmt.Sprintf("%s/%s is %s", w.OwnerName, w.Name, w.Phase), ""
		pg.Again = w.Phase == store.PhasePending || w.Phase == store.PhaseStarting || w.Phase == store.PhaseStopping
		if pg.Again {
			pg.Text = "This page goes on by itself."
		}
		if stopped.mayStart && !pg.Again {
			pg.Start = p.cfg.Domain.base(label) + startPath
		}
	case errors.As(err, &away):
		pg.Title, pg.Text = "The workspace is not there yet", away.why+" This page tries again by itself."
	case errors.Is(err, errForbidden):
		status, pg = http.StatusForbidden, page{Title: "Ports are closed here", Text: "The template of the workspace forbids to reach its ports."}
	case errors.Is(err, errOthers):
		status, pg = http.StatusForbidden, page{Title: "Only its owner can open this here", Text: "This deployment has no names for apps, which others need. Its administrator can give it some: --wildcard-url."}
	case errors.Is(err, errDenied):
		status, pg = http.StatusForbidden, page{Title: "Denied", Text: "The deployment's policy does not let you reach this port. Ask who keeps it."}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, errSignIn):
		status, pg = http.StatusNotFound, page{Title: "Nothing here", Text: "There is no such workspace, port or app, or it is not shared with you."}
	default:
		p.cfg.Logger.WarnContext(r.Context(), "an app cannot be opened", "label", label, "err", err)
	}
	p.show(w, r, status, pg)
}

// unreachable says why an app does not answer.
func (p *Proxy) unreachable(w http.ResponseWriter, r *http.Request, d *door, err error) {
	if d.ctx.Err() != nil || r.Context().Err() != nil && w.Header().Get("Content-Type") == "" {
		// Whoever asked has left, or may not be here any more.
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	p.cfg.Logger.DebugContext(r.Context(), "an app does not answer", "label", d.key.label, "err", err)
	if _, now := p.lookUp(r.Context(), d.key.label, d.who); now != nil && !isTransient(now) { // a workspace that has just stopped
		p.shut(d, now)
		p.fail(w, r, d.key.label, now)
		return
	}
	pg := page{Title: fmt.Sprintf("Nothing answers on port %d", d.port), Text: "What listens there may be starting. This page tries again by itself.", Again: true}
	if errors.Is(err, breaker.ErrOpen) {
		pg.Title, pg.Text = "The workspace does not answer", "It did not lately, and is tried again in half a minute."
	}
	p.show(w, r, http.StatusBadGateway, pg)
}

func (p *Proxy) show(w http.ResponseWriter, r *http.Request, status int, pg page) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if !isNavigation(r) {
		http.Error(w, pg.Title+". "+pg.Text, status)
		return
	}
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	pg.Style = StylePath
	if p.cfg.Main != nil {
		pg.Dashboard = p.cfg.Main.String()
	}
	w.WriteHeader(status)
	if err := p.html.Execute(w, pg); err != nil {
		p.cfg.Logger.DebugContext(r.Context(), "a page was not read to its end", "err", err)
	}
}

func parsePage() *template.Template { return template.Must(template.New("page").Parse(pageHTML)) }
