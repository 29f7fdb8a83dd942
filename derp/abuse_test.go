package derp

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"tailscale.com/derp"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// spoken is what a relay says, for several goroutines.
type spoken struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *spoken) times(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), text)
}

// Whoever does wrong, in great number, is disconnected and counted, and the log says it
// once. Two that do not, notice nothing, and nothing is left of the others.
func TestWhoDoesWrongHarmsNobodyElse(t *testing.T) {
	stranger := key.NewNode()
	hello := func(conn net.Conn, k key.NodePrivate) error {
		_, err := derp.NewClient(k, conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), logger.Discard)
		return err
	}
	slowly := func(conn net.Conn, data []byte) {
		for i := range data {
			if _, err := conn.Write(data[i : i+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for _, c := range []struct {
		name   string
		reason endReason
		does   func(conn net.Conn) error // once it is connected
	}{
		{"no greeting", endedGreeting, func(net.Conn) error { return nil }},
		{"a greeting a byte a second", endedGreeting, func(conn net.Conn) error {
			go slowly(conn, append([]byte{byte(derp.FrameClientInfo), 0, 0, 0, 200}, make([]byte, 200)...)) // ends with the connection
			return nil
		}},
		{"a greeting of 1 MiB", endedFrame, func(conn net.Conn) error {
			go conn.Write([]byte{byte(derp.FrameClientInfo), 0, 16, 0, 0})
			return nil
		}},
		{"a key that may not come in", endedRefused, func(conn net.Conn) error { return hello(conn, stranger) }},
		{"a frame of 4 GiB", endedFrame, func(conn net.Conn) error {
			if err := hello(conn, key.NewNode()); err != nil {
				return err
			}
			go conn.Write([]byte{byte(derp.FrameSendPacket), 255, 255, 255, 255})
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const many = 200
				var log spoken
				s := newSwitchboard(key.NewNode(), 0, func(_ context.Context, k key.NodePublic) (bool, error) {
					return k != stranger.Public(), nil
				}, slog.New(slog.NewTextHandler(&log, nil)))
				defer s.close()
				alice, bob := key.NewNode(), key.NewNode()
				a, _ := greeted(t, s, alice)
				b, _ := greeted(t, s, bob)
				var wrong sync.WaitGroup
				for range many {
					near, far := net.Pipe()
					if err := s.enter(far); err != nil {
						t.Fatal(err)
					}
					go func() { // ends with the connection
						defer s.leave(far)
						s.serve(far, nil, nil, "192.0.2.66:1")
					}()
					wrong.Go(func() {
						if err := c.does(near); err != nil {
							t.Error(err)
						}
						_, _ = io.Copy(io.Discard, near) // until it is disconnected
					})
				}
				for range 10 {
					if err := a.Send(bob.Public(), []byte("hello")); err != nil {
						t.Fatal(err)
					}
					if got := next[derp.ReceivedPacket](t, b); string(got.Data) != "hello" {
						t.Errorf("got %q", got.Data)
					}
				}
				wrong.Wait()
				time.Sleep(2 * time.Second) // the slow notice
				synctest.Wait()
				if got := testutil.ToFloat64(s.counts.ended[c.reason]); got != many {
					t.Errorf("%v were counted as %s, want %d", got, c.reason, many)
				}
				if n := log.times("reason=" + c.reason.String()); n != 1 {
					t.Errorf("the log says it %d times, want once", n)
				}
				if len(s.conns) != 2 || len(s.lines) != 2 || s.counts.clients.Load() != 2 {
					t.Errorf("%d connections of %d keys are left, want two", len(s.conns), len(s.lines))
				}
			})
		})
	}
}
