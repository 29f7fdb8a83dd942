package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
)

// upstream carries requests to apps: by HTTP/2 where they speak it in TLS, and by
// HTTP/2 without for what nothing else can carry; else by HTTP/1.1.
type upstream struct{ usual, grpc *http.Transport }

func newUpstream(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *upstream {
	u := &upstream{
		usual: &http.Transport{
			DialContext:         dial,
			MaxIdleConnsPerHost: keptAlive, IdleConnTimeout: keptFor,
			DisableCompression: true, // bodies are passed on as they are
			ForceAttemptHTTP2:  true,
			// The tunnel has proven who answers; certificates there are self-signed.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		grpc: &http.Transport{DialContext: dial, IdleConnTimeout: keptFor, DisableCompression: true, Protocols: new(http.Protocols)},
	}
	u.grpc.Protocols.SetUnencryptedHTTP2(true)
	return u
}

// RoundTrip implements http.RoundTripper.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && isGRPC(r.Header.Get("Content-Type")) {
		return u.grpc.RoundTrip(r)
	}
	return u.usual.RoundTrip(r)
}

// isGRPC reports whether a body is one of gRPC's, and not of gRPC-Web, which HTTP/1.1
// carries.
func isGRPC(kind string) bool {
	rest, ok := strings.CutPrefix(kind, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

func (u *upstream) CloseIdleConnections() {
	u.usual.CloseIdleConnections()
	u.grpc.CloseIdleConnections()
}
