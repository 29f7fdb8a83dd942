package derp

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"tailscale.com/types/key"
)

// pipes is a listener within a process.
type pipes struct {
	come   chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{come: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.come <- far
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.come:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Whoever connects and asks for nothing that there is an answer to is disconnected,
// counted, and said once. Who asks, or leaves of his own accord, is not.
func TestWhoAsksForNothingIsCounted(t *testing.T) {
	pair, _ := certificateFor(t, "relay.adit")
	secured := func(conn net.Conn) (net.Conn, error) {
		c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		return c, c.Handshake()
	}
	write := func(text string) func(net.Conn) error {
		return func(conn net.Conn) error {
			_, err := io.WriteString(conn, text)
			return err
		}
	}
	within := func(text string) func(net.Conn) error {
		return func(conn net.Conn) error {
			c, err := secured(conn)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c, text)
			return err
		}
	}
	for _, c := range []struct {
		name   string
		reason endReason // endReasons for none
		does   func(net.Conn) error
	}{
		{"nothing", endedSlow, func(net.Conn) error { return nil }},
		{"half a handshake", endedSlow, write("\x16\x03\x01\x02\x00\x01")},
		{"a handshake and nothing", endedSlow, within("")},
		{"half a head", endedSlow, within("GET /derp HTTP/1.1\r\nHost: relay.adit\r\n")},
		{"no TLS", endedNoTLS, write("GET /derp HTTP/1.1\r\nHost: relay.adit\r\n\r\n")},
		{"another protocol", endedNoTLS, write("SSH-2.0-OpenSSH_9.2\r\n")},
		{"a handshake that is none", endedMalformed, write("\x16\x03\x01\x00\x05hello")},
		{"a head that is none", endedMalformed, within("hello\r\n\r\n")},
		{"who asks", endReasons, within("GET /derp HTTP/1.1\r\nHost: relay.adit\r\nConnection: close\r\n\r\n")},
		{"who leaves", endReasons, func(conn net.Conn) error { return conn.Close() }},
		{"who says goodbye", endReasons, func(conn net.Conn) error {
			c, err := secured(conn)
			if err != nil {
				return err
			}
			return c.Close()
		}},
		{"who does not trust it", endedMalformed, func(conn net.Conn) error {
			_ = tls.Client(conn, &tls.Config{ServerName: "relay.adit"}).Handshake() // as it should
			return conn.Close()
		}},
		{"who leaves behind half a head", endReasons, func(conn net.Conn) error {
			defer conn.Close()
			return within("GET /")(conn)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const many = 20
				var log spoken
				board := newSwitchboard(key.NewNode(), 0, nil, slog.New(slog.NewTextHandler(&log, nil)))
				defer board.close()
				listener := newPipes()
				crowd := newCrowd(listener, 2*many, prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}), board.note, slog.New(slog.DiscardHandler))
				web := newWeb(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
				served := make(chan error, 1)
				go func() {
					served <- web.Serve(tls.NewListener(crowd, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}))
				}()
				var all sync.WaitGroup
				var failed atomic.Pointer[error]
				for range many {
					conn := listener.dial()
					all.Go(func() {
						defer conn.Close()
						if err := c.does(conn); err != nil {
							failed.Store(&err)
						}
						_, _ = io.Copy(io.Discard, conn) // until it is disconnected
					})
				}
				all.Wait()
				web.Close()
				<-served
				synctest.Wait()
				for r := range endReasons {
					want := 0.0
					if r == c.reason {
						want = many
					}
					if got := testutil.ToFloat64(board.counts.ended[r]); got != want {
						t.Errorf("%v were counted as %s, want %v", got, r, want)
					}
				}
				want := 1
				if c.reason == endReasons {
					want = 0
				}
				if n := log.times("level=WARN"); n != want {
					t.Errorf("the log says it %d times, want %d", n, want)
				}
				if len(crowd.held) != 0 {
					t.Errorf("%v are counted though all are closed", crowd.held)
				}
				if err := failed.Load(); err != nil && c.reason == endReasons {
					t.Error(*err)
				}
			})
		})
	}
}
