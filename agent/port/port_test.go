package port

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(childEnv); address != "" {
		serveAsChild(address)
	}
	goleak.VerifyTestMain(m)
}

func TestOpenCarriesToLoopbackAndPassesTheEndOn(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", host)
		if err != nil {
			t.Logf("no %s on this machine", host)
			continue
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			data, _ := io.ReadAll(c) // until the half-close
			c.Write(append(data, '!'))
		}()
		serve, err := Open(t.Context(), uint16(l.Addr().(*net.TCPAddr).Port))
		if err != nil {
			t.Fatal(err)
		}
		near, far := tcpPair(t)
		joined := make(chan struct{})
		go func() {
			defer close(joined)
			serve(far)
		}()
		io.WriteString(near, "hello")
		near.CloseWrite()
		if got, err := io.ReadAll(near); err != nil || string(got) != "hello!" {
			t.Errorf("%s: %q, %v", host, got, err)
		}
		near.Close()
		<-joined
		<-served
		l.Close()
	}
}

func tcpPair(t *testing.T) (near *net.TCPConn, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), far
}

func TestOpenOfAClosedPortIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	if _, err := Open(t.Context(), port); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want ECONNREFUSED", err)
	}
}
