package derp

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Somebody who opens connections without end has as many as are allowed, and nobody
// else notices; the log says it once.
func TestAnAddressHasSoManyConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"})
	const most, tries = 20, 500
	c := newCrowd(l, most, refused, func(endReason, string, error) {}, slog.New(slog.NewTextHandler(&log, nil)))
	taken := make(chan net.Conn, tries)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			taken <- conn
		}
	}()
	open := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		return conn
	}
	var mine []net.Conn
	for i := range tries {
		conn := open("127.0.0.2")
		if i >= most {
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Fatal("one too many was served")
			}
			continue
		}
		mine = append(mine, <-taken)
	}
	if got := testutil.ToFloat64(refused); got != tries-most {
		t.Errorf("%v were refused, want %d", got, tries-most)
	}
	open("127.0.0.3")
	other := <-taken
	other.Close()
	mine[0].Close()
	mine[0].Close() // counts once
	open("127.0.0.2")
	(<-taken).Close()
	for _, conn := range mine {
		conn.Close()
	}
	l.Close()
	<-done
	if len(c.held) != 0 {
		t.Errorf("%v are counted though all are closed", c.held)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines of log, want one:\n%s", n, log.String())
	}
}
