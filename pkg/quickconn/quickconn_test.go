package quickconn

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a quick connection, and the other end of it.
func pair(t testing.TB) (quick net.Conn, other *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = Listener(l)
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, far.(*net.TCPConn)
}

func TestAStreamArrivesAsItWasWritten(t *testing.T) {
	quick, other := pair(t)
	data := make([]byte, 4<<20) // more than any buffer holds
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // back as it comes
		if _, err := io.Copy(other, other); err != nil {
			t.Error(err)
		}
		if err := other.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if n, err := quick.Write(data); n != len(data) || err != nil {
			t.Errorf("wrote %d of %d bytes: %v", n, len(data), err)
		}
		// As net/http does before it closes a connection, so that what it said last arrives.
		if half, ok := quick.(interface{ CloseWrite() error }); !ok {
			t.Error("it cannot be closed by half")
			quick.Close()
		} else if err := half.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(quick)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back, or others: %v", len(got), len(data), err)
	}
	wg.Wait()
}

// A stream ends where nothing is read; a datagram may be empty.
func TestAnEmptyDatagramIsNoEnd(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := net.Dial("udp4", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	quick := New(conn)
	defer quick.Close()
	buf := make([]byte, 100)
	for _, said := range []string{"", "hello"} {
		if n, err := quick.Write([]byte(said)); n != len(said) || err != nil {
			t.Fatalf("wrote %d bytes of %q: %v", n, said, err)
		}
		n, from, err := server.ReadFromUDP(buf)
		if err != nil || string(buf[:n]) != said {
			t.Fatalf("%q arrived, want %q: %v", buf[:n], said, err)
		}
		if _, err := server.WriteToUDP(buf[:n], from); err != nil {
			t.Fatal(err)
		}
		if n, err := quick.Read(buf); err != nil || string(buf[:n]) != said {
			t.Errorf("%q came back, want %q: %v", buf[:n], said, err)
		}
	}
}

func TestErrorsAreThoseOfOtherConnections(t *testing.T) {
	buf := make([]byte, 1<<20)
	for _, c := range []struct {
		name string
		do   func(t *testing.T, quick net.Conn, other *net.TCPConn) error
		want error
	}{
		{"a read that lasts", func(t *testing.T, quick net.Conn, _ *net.TCPConn) error {
			if err := quick.SetReadDeadline(time.Now()); err != nil {
				t.Fatal(err)
			}
			_, err := quick.Read(buf)
			return err
		}, os.ErrDeadlineExceeded},
		{"a write that lasts", func(t *testing.T, quick net.Conn, _ *net.TCPConn) error {
			if err := quick.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			for {
				if n, err := quick.Write(buf); n < len(buf) || err != nil {
					return err
				}
			}
		}, os.ErrDeadlineExceeded},
		{"a read from who is gone", func(t *testing.T, quick net.Conn, other *net.TCPConn) error {
			if err := errors.Join(other.SetLinger(0), other.Close()); err != nil {
				t.Fatal(err)
			}
			_, err := quick.Read(buf)
			return err
		}, syscall.ECONNRESET},
		{"a write to who is gone", func(t *testing.T, quick net.Conn, other *net.TCPConn) error {
			if err := errors.Join(other.SetLinger(0), other.Close()); err != nil {
				t.Fatal(err)
			}
			_, _ = quick.Read(buf) // so that it is known
			_, err := quick.Write(buf[:1])
			return err
		}, syscall.EPIPE},
		{"a read from what is closed", func(t *testing.T, quick net.Conn, _ *net.TCPConn) error {
			quick.Close()
			_, err := quick.Read(buf)
			return err
		}, net.ErrClosed},
		{"a write to what is closed", func(t *testing.T, quick net.Conn, _ *net.TCPConn) error {
			quick.Close()
			_, err := quick.Write(buf[:1])
			return err
		}, net.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			quick, other := pair(t)
			if err := c.do(t, quick, other); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// roomy knows whether there is room for a short write.
type roomy interface{ Roomy() bool }

// A connection has room until the other end does not read what it is sent.
func TestAConnectionThatIsNotReadHasNoRoom(t *testing.T) {
	quick, other := pair(t)
	known, ok := quick.(roomy)
	if !ok {
		t.Skip("connections are quick on Linux alone")
	}
	if !known.Roomy() {
		t.Error("a new one has no room")
	}
	if err := quick.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	sent, err := 0, error(nil)
	for buf := make([]byte, 64<<10); err == nil; {
		var n int
		n, err = quick.Write(buf)
		sent += n
	}
	if known.Roomy() {
		t.Error("one that is full has room")
	}
	if _, err := io.CopyN(io.Discard, other, int64(sent)); err != nil {
		t.Fatal(err)
	}
	if err := quick.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := quick.Write([]byte{0}); err != nil || !known.Roomy() {
		t.Errorf("one that was read has no room: %v", err)
	}
	quick.Close()
	if known.Roomy() {
		t.Error("one that is closed has room")
	}
}

func TestAMessageAllocatesNothing(t *testing.T) {
	quick, other := pair(t)
	out, in := make([]byte, 100), make([]byte, 100)
	if got := testing.AllocsPerRun(100, func() {
		if c, ok := quick.(roomy); ok && !c.Roomy() {
			t.Fatal("no room")
		}
		if _, err := quick.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(other, in); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Write(in); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(quick, in); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
