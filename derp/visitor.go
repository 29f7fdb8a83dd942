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
	"time"
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

// byeWithin is how long a client that has ended TLS may take to end its connection.
const byeWithin = 50 * time.Millisecond

// visitor is a connection of a [crowd]: it leaves that when it is closed. Until its
// client has asked for something, it looks at what that does.
type visitor struct {
	net.Conn
	leave func()

	asked atomic.Bool  // for something
	first atomic.Int32 // byte that came, and one; zero before
	late  atomic.Bool  // nothing more came in time
	tls   atomic.Pointer[tls.Conn]

	reading, closing atomic.Bool
	gone             atomic.Bool // by itself
}

// Read reads what the client says.
func (v *visitor) Read(p []byte) (int, error) {
	if v.asked.Load() {
		return v.Conn.Read(p)
	}
	v.reading.Store(true)
	defer v.reading.Store(false)
	if v.closing.Load() {
		return 0, net.ErrClosed
	}
	n, err := v.Conn.Read(p)
	v.look(p[:n], err)
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
	v.closing.Store(true)
	switch secure := v.tls.Load(); {
	case v.asked.Load() || v.late.Load() || secure == nil:
	case v.reading.Load(): // the relay ends
		v.gone.Store(true)
	// Nobody reads any more, so that a handshake does not last, which this waits for.
	case secure.ConnectionState().HandshakeComplete:
		// Certificates are watched by those who shake hands and say goodbye.
		_ = v.SetReadDeadline(time.Now().Add(byeWithin)) // fails on a closed one
		if _, err := v.Conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			v.gone.Store(true)
		}
	}
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
				if v, ok := conn.(*visitor); ok {
					v.tls.Store(secure)
				}
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
