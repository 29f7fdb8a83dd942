package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
)

// PreviewPattern is where what a port shows is, for http.ServeMux. Pages ask here that have
// no way of their own. Asking is no GET, though it asks the port for one: so browsers say
// which page asks.
const PreviewPattern = "POST /api/v1/workspaces/{owner}/{name}/agents/{agent}/ports/{port}/preview"

// What the port says of its answer is told by these headers, since pages are not to take
// it for the coordinator's.
const (
	shownType     = "Adit-Content-Type"
	shownLocation = "Adit-Location"
)

// errNoPorts is that the template forbids to reach ports.
var errNoPorts = errors.New("proxy: the template of the workspace forbids to reach its ports")

// ServePreview passes on what a port of a workspace shows at the path of the query.
func (p *Proxy) ServePreview(w http.ResponseWriter, r *http.Request) {
	request.Long(r.Context())
	who, err := p.cfg.Visitor(r)
	if err != nil {
		p.cfg.Refuse(w, err)
		return
	}
	port, err := parsePort(r.PathValue("port"))
	at, err2 := url.ParseRequestURI(r.URL.Query().Get("path"))
	if err := errors.Join(err, err2); err != nil || at.IsAbs() || at.Host != "" {
		http.Error(w, "The page asks for what makes no sense; load it again.", http.StatusBadRequest)
		return
	}
	ws, agent, err := p.find(r.Context(), who, r.PathValue("owner"), r.PathValue("name"), r.PathValue("agent"))
	if err == nil {
		err = p.mayPort(r.Context(), who, agent, port)
	}
	if err != nil {
		p.noPreview(w, r, err)
		return
	}
	p.notePreviewed(r, who, ws, agent, port)
	ctx, done, err := p.begin(r.Context(), who, ws, agent.ID, port)
	if err != nil {
		p.noPreview(w, r, err)
		return
	}
	defer done()
	conn, err := p.node.dial(ctx, agent.ID, port)
	if err != nil {
		p.noPreview(w, r, err)
		return
	}
	defer conn.Close()
	carry := carrier(conn, func(in, out *http.Request) {
		out.Method, out.Body, out.ContentLength = http.MethodGet, http.NoBody, 0
		at.Scheme, at.Host = "http", fmt.Sprintf("localhost:%d", port)
		out.URL = at
		out.Header = chosen(in.Header, []string{"Accept"})
	}, func(told http.Header) http.Header {
		h := chosen(told, []string{"Content-Length"})
		h.Set(shownType, told.Get("Content-Type"))
		if to := told.Get("Location"); to != "" {
			h.Set(shownLocation, to)
		}
		return h
	})
	carry.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { p.noPreview(w, r, err) }
	carry.ServeHTTP(w, r.WithContext(ctx))
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("proxy: %.20q is no port", text)
	}
	return uint16(n), nil
}

// mayPort reports why somebody who may connect to an agent may not reach a port of its.
func (p *Proxy) mayPort(ctx context.Context, who auth.Identity, agent store.Agent, port uint16) error {
	m, err := api.ManifestOf(agent)
	if err != nil {
		return err
	}
	if m.GetForbidForwarding() {
		return errNoPorts
	}
	if admitted, err := p.cfg.Admits(ctx, who, agent.ID, port); err != nil || !admitted {
		return errors.Join(err, errDenied)
	}
	return nil
}

// notePreviewed notes in the audit log that somebody looks at a port, as of apps.
func (p *Proxy) notePreviewed(r *http.Request, who auth.Identity, w store.Workspace, agent store.Agent, port uint16) {
	p.noteOpened(r, who, Address{strconv.Itoa(int(port)), agent.Name, w.Name, w.OwnerName}, "")
}

// noPreview says why there is none.
func (p *Proxy) noPreview(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	text, _, _ := p.whyNot(r.Context(), err)
	switch {
	case errors.Is(err, errNoPorts):
		status, text = http.StatusForbidden, "The template of the workspace forbids to reach its ports."
	case errors.Is(err, errDenied):
		status, text = http.StatusForbidden, "The deployment's policy does not let you reach this port of the workspace; ask who keeps it."
	case errors.Is(err, store.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		text = "The port does not speak HTTP."
	}
	w.Header().Set("Adit-Failed", "yes") // and no answer of the port's
	http.Error(w, text, status)
}
