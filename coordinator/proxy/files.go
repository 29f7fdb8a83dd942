package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"

	"github.com/aditmesh/adit/coordinator/api"
	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
)

// FilesPattern is where the files of a workspace are, for http.ServeMux: what of them, by
// the names that agents know. Pages ask here that have no way of their own.
const FilesPattern = "/api/v1/workspaces/{owner}/{name}/agents/{agent}/files/{what}"

// filesPort is where agents serve files, on the mesh.
const filesPort = 7077

// errNoFiles is that the template forbids to transfer files.
var errNoFiles = errors.New("proxy: the template of the workspace forbids to transfer files")

// filesAsked are the headers that agents are asked with, and filesTold those of their
// answers. An agent is a stranger's program: what it says is no page of ours.
var (
	filesAsked = []string{"If-Match", "If-None-Match", "Range", "Content-Type"}
	filesTold  = []string{"Accept-Ranges", "Content-Length", "Content-Range", "Etag", "Last-Modified"}
)

// ServeFiles passes on what a page asks of a workspace's files.
func (p *Proxy) ServeFiles(w http.ResponseWriter, r *http.Request) {
	request.Long(r.Context())
	visitor := p.cfg.Visitor
	if r.Method == http.MethodGet { // which changes nothing, and browsers do not always say where from
		visitor = func(r *http.Request) (auth.Identity, error) {
			if r.Header.Get("Authorization") != "" {
				return p.cfg.Visitor(r)
			}
			return p.cfg.Browser(r)
		}
	}
	who, err := visitor(r)
	if err != nil {
		p.cfg.Refuse(w, err)
		return
	}
	ws, agent, err := p.find(r.Context(), who, r.PathValue("owner"), r.PathValue("name"), r.PathValue("agent"))
	if err == nil {
		err = p.mayFiles(r.Context(), who, agent)
	}
	if err != nil {
		p.noFiles(w, r, err)
		return
	}
	ctx, done, err := p.begin(r.Context(), who, ws, agent.ID, filesPort)
	if err != nil {
		p.noFiles(w, r, err)
		return
	}
	defer done()
	conn, err := p.node.dial(ctx, agent.ID, filesPort)
	if err != nil {
		p.noFiles(w, r, err)
		return
	}
	defer conn.Close()
	t := &tallied{Conn: conn}
	if r.PathValue("what") == "file" {
		defer p.record(ctx, who, agent.ID, p.cfg.RemoteAddr(r), kindFiles, &t.rx, &t.tx)()
	}
	carry := carrier(t, func(in, out *http.Request) {
		out.URL = &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/v1/" + r.PathValue("what"), RawQuery: r.URL.RawQuery}
		out.Header = chosen(in.Header, filesAsked)
	}, func(told http.Header) http.Header { return chosen(told, filesTold) })
	carry.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { p.noFiles(w, r, err) }
	carry.ServeHTTP(w, r.WithContext(ctx))
}

// carrier carries one request to an agent by a connection. What comes back is no page of
// ours, whatever it says: it is shown nowhere.
func carrier(conn net.Conn, ask func(in, out *http.Request), told func(http.Header) http.Header) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: &http.Transport{
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
			DisableKeepAlives: true, DisableCompression: true,
		},
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.Host = ""
			ask(pr.In, pr.Out)
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header = told(resp.Header)
			resp.Header.Set("Content-Type", "application/octet-stream")
			resp.Header.Set("Content-Disposition", "attachment")
			resp.Header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
			resp.Header.Set("X-Content-Type-Options", "nosniff")
			resp.Header.Set("Cache-Control", "no-store")
			return nil
		},
	}
}

// tallied is a connection to an agent whose bytes are counted as those from the page, and
// to it.
type tallied struct {
	net.Conn
	rx, tx atomic.Int64
}

func (t *tallied) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.tx.Add(int64(n))
	return n, err
}

func (t *tallied) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.rx.Add(int64(n))
	return n, err
}

func chosen(of http.Header, names []string) http.Header {
	h := make(http.Header, len(names))
	for _, name := range names {
		if v := of[name]; v != nil {
			h[name] = v
		}
	}
	return h
}

// mayFiles reports why somebody who may connect to an agent may not have its files.
func (p *Proxy) mayFiles(ctx context.Context, who auth.Identity, agent store.Agent) error {
	m, err := api.ManifestOf(agent)
	if err != nil {
		return err
	}
	if m.GetForbidFileTransfer() {
		return errNoFiles
	}
	if admitted, err := p.cfg.Admits(ctx, who, agent.ID, filesPort); err != nil || !admitted {
		return errors.Join(err, errDenied)
	}
	return nil
}

// noFiles says why there are none.
func (p *Proxy) noFiles(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	text, _, _ := p.whyNot(r.Context(), err)
	switch {
	case errors.Is(err, errNoFiles):
		status, text = http.StatusForbidden, "The template of the workspace forbids to transfer files."
	case errors.Is(err, errDenied):
		status, text = http.StatusForbidden, "The deployment's policy does not let you reach the files of this workspace; ask who keeps it."
	case errors.Is(err, store.ErrNotFound):
		status = http.StatusNotFound
	}
	http.Error(w, text, status)
}
