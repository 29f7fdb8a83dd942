package derp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func gatherPipe(t *testing.T) (*gatherConn, net.Conn) {
	near, far := net.Pipe()
	g := newGatherConn(near, &sync.Pool{New: func() any { return new([]byte) }})
	t.Cleanup(func() { far.Close(); g.Close() })
	return g, far
}

// A pipe's Read returns what one Write wrote, so it shows where writes end.
func TestWhatIsWrittenDuringAWriteIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, far := gatherPipe(t)
		g.Write([]byte("first"))
		synctest.Wait() // it is on its way, and nobody reads
		for range 3 {
			g.Write([]byte("more"))
		}
		buf := make([]byte, 64)
		for _, want := range []string{"first", "moremoremore"} {
			n, err := far.Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Errorf("read %q, %v, want %q", buf[:n], err, want)
			}
		}
	})
}

func TestAWriterWaitsForAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, far := gatherPipe(t)
		block := bytes.Repeat([]byte("x"), 1000)
		written := 0
		go func() {
			for {
				n, err := g.Write(block)
				written += n
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if most := 2 * (len(block) + gatherLimit); written < gatherLimit || written > most {
			t.Errorf("%d bytes were taken, want %d to %d", written, gatherLimit, most)
		}
		far.Close() // the writer ends with an error
	})
}

func TestAWriteErrorReachesALaterWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := gatherPipe(t)
		g.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := g.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var timeout net.Error
		if _, err := g.Write([]byte("late")); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

func TestCloseWaitsForWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, far := gatherPipe(t)
		got := make(chan []byte)
		go func() {
			data, _ := io.ReadAll(far)
			got <- data
		}()
		g.Write([]byte("good"))
		g.Write([]byte("bye"))
		g.Close()
		if data := <-got; string(data) != "goodbye" {
			t.Errorf("read %q", data)
		}
		if _, err := g.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write to a closed connection: %v", err)
		}
	})
}

func TestCloseDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := gatherPipe(t)
		g.Write([]byte("unread"))
		began := time.Now()
		g.Close()
		if took := time.Since(began); took > partingTime {
			t.Errorf("took %v", took)
		}
	})
}
