package derp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
)

// tlsHandshake is the first byte of a TLS connection (RFC 8446, 5.1).
const tlsHandshake = 22

// What is noted of those who ask for nothing that there is an answer to.
var (
	errSilent    = errors.New("it said nothing in time")
	errSlow      = errors.New("it said half of a handshake or of a request in time")
	errNoTLS     = errors.New("it speaks no TLS")
	errMalformed = errors.New("its handshake or its request is none, or it does not trust the relay's certificate")
)

// visitor is a connection of a [crowd]: it leaves that when it is closed. Until its
// client has asked for something, it looks at what that does.
type visitor struct {
	net.Conn
	leave func()

	asked atomic.Bool  // for something
	first atomic.Int32 // byte that came, and one; zero before
	late  atomic.Bool  // nothing more came in time
	gone  atomic.Bool  // by itself
}

// Read reads what the client says.
func (v *visitor) Read(p []byte) (int, error) {
	n, err := v.Conn.Read(p)
	if !v.asked.Load() {
		v.look(p[:n], err)
	}
	return n, err
}

// Write writes to the client.
func (v *visitor) Write(p []byte) (int, error) {
	n, err := v.Conn.Write(p)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !v.asked.Load() {
		v.gone.Store(true)
	}
	return n, err
}

func (v *visitor) look(said []byte, err error) {
	if len(said) > 0 {
		v.first.CompareAndSwap(0, 1+int32(said[0]))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.late.Store(true)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		v.gone.Store(true)
	}
}

// Close closes the connection.
func (v *visitor) Close() error {
	defer v.leave()
	return v.Conn.Close()
}

// ended tells why the relay ends it whose client has asked for nothing; no error is that
// it has, or went by itself.
func (v *visitor) ended() (endReason, error) {
	first := v.first.Load()
	switch {
	case v.asked.Load() || v.gone.Load():
	case first != 0 && first != 1+tlsHandshake:
		return endedNoTLS, errNoTLS
	case v.late.Load() && first == 0:
		return endedSlow, errSilent
	case v.late.Load():
		return endedSlow, errSlow
	case first != 0:
		return endedMalformed, errMalformed
	}
	return 0, nil
}

// visitorOf is by what a request's context knows its connection.
type visitorOf struct{}

// newWeb serves HTTP to strangers, who may be visitors.
func newWeb(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn()
			}
			return context.WithValue(ctx, visitorOf{}, conn)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if v, ok := req.Context().Value(visitorOf{}).(*visitor); ok {
				v.asked.Store(true)
			}
			h.ServeHTTP(w, req)
		}),
	}
}
