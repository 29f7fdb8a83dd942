package connectrpc

import (
	"bytes"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// inside hands a call's requests to the HTTP API of this process, as if the
// caller had made them.
type inside struct {
	api  http.Handler
	call connect.AnyRequest
}

// RoundTrip is http.RoundTripper's.
func (t inside) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	for _, name := range forwarded {
		if v := t.call.Header().Values(name); len(v) > 0 {
			in.Header[name] = v
		}
	}
	in.RemoteAddr, in.RequestURI = t.call.Peer().Addr, in.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &recorder{header: make(http.Header)}
	t.api.ServeHTTP(w, in)
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &http.Response{
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: req,
	}, nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
