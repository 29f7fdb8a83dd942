package derp

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"tailscale.com/derp"
	"tailscale.com/types/key"
)

// boxed is the outbox of a client, and the client's end of its connection.
func boxed(t *testing.T) (*outbox, net.Conn) {
	near, far := net.Pipe()
	s := newSwitchboard(key.NewNode(), 0, func(context.Context, key.NodePublic) (bool, error) { return true, nil }, slog.New(slog.DiscardHandler))
	l := newLine(s, near, key.NewNode().Public(), derp.ClientInfo{}, noAddress)
	t.Cleanup(func() {
		far.Close()
		near.Close()
		l.out.close()
		s.close()
	})
	return &l.out, far
}

// put has a sender put packets of a size in, and returns how many were taken.
func put(o *outbox, from *line, src key.NodePublic, size, n int) (taken int) {
	for range n {
		o.open(from)
		if o.packet(src, key.NodePublic{}, make([]byte, size)) == delivered {
			taken++
		}
		o.end()
	}
	return taken
}

// A pipe's Read returns what one Write wrote, so it shows where writes end.
func TestWhatComesDuringAWriteIsWrittenInOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, far := boxed(t)
		src := key.NewNode().Public()
		put(o, nil, src, 100, 1)
		synctest.Wait() // it is on its way, and nobody reads
		put(o, nil, src, 100, 3)
		buf := make([]byte, writeSize)
		for _, want := range []int{1, 3} {
			n, err := far.Read(buf)
			if each := derp.FrameHeaderLen + derp.KeyLen + 100; err != nil || n != want*each {
				t.Errorf("read %d bytes, %v, want %d packets of %d", n, err, want, each)
			}
		}
	})
}

// roomyPipe is a connection that says whether it has room.
type roomyPipe struct {
	net.Conn
	room bool
}

func (p *roomyPipe) Roomy() bool { return p.room }

// Who has little for a connection that has room writes it without anybody else; with more
// of it, or less room, nobody is held up.
func TestWhatIsAtHandIsWrittenByWhoBringsIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		room  bool
		size  int
		first bool // something else is being written
		waits bool
	}{
		{"a packet", true, 100, false, true},
		{"a packet where there is no room", false, 100, false, false},
		{"a long packet", true, 60_000, false, false},
		{"a packet behind another", true, 100, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, far := boxed(t)
				src := key.NewNode().Public()
				if c.first {
					put(o, nil, src, 100, 1)
					synctest.Wait()
				}
				o.line.room = &roomyPipe{o.line.conn, c.room}
				brought := false
				go func() {
					put(o, nil, src, c.size, 1)
					brought = true
				}()
				synctest.Wait() // nobody reads
				if brought == c.waits {
					t.Errorf("who brings it waits: %v, want %v", !brought, c.waits)
				}
				want := derp.FrameHeaderLen + derp.KeyLen + c.size
				if c.first {
					want += derp.FrameHeaderLen + derp.KeyLen + 100
				}
				if n, err := io.ReadFull(far, make([]byte, want)); err != nil {
					t.Errorf("%d of %d bytes came: %v", n, want, err)
				}
				synctest.Wait()
				if !brought {
					t.Error("who brings it still waits")
				}
			})
		})
	}
}

// What is forwarded to another relay says whom it is from and for, and waits for the same
// write as the rest.
func TestWhatIsForwardedGoesInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, far := boxed(t)
		o.line.onward = true
		src, dst := key.NewNode().Public(), []key.NodePublic{key.NewNode().Public(), key.NewNode().Public(), key.NewNode().Public()}
		var want []byte
		for i, to := range dst {
			payload := []byte{byte(i)}
			want = append(want, frame(derp.FrameForwardPacket, append(to.AppendTo(src.AppendTo(nil)), payload...))...)
			o.open(nil)
			if reason := o.packet(src, to, payload); reason != delivered {
				t.Fatal(reason)
			}
			if i == len(dst)-1 {
				o.end()
			} else {
				o.mu.Unlock() // the next comes before it is written
			}
		}
		buf := make([]byte, writeSize)
		n, err := far.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("%x, %v, want %x", buf[:n], err, want)
		}
		synctest.Wait()
		if c := o.line.board.counts; c.sentPackets.Load() != 3 || c.sentBytes.Load() != 3 {
			t.Errorf("%d packets of %d bytes are counted", c.sentPackets.Load(), c.sentBytes.Load())
		}
	})
}

// Who floods a client that does not read fills half of what may wait for it, and each
// that comes then half of what is left; no more than all waits.
func TestWhoFloodsAClientLeavesRoomToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := boxed(t)
		const size, many = 1280, 10_000
		bytes := func(packets int) int { return packets * (derp.FrameHeaderLen + derp.KeyLen + size) }
		var senders [4]line
		put(o, &senders[0], key.NewNode().Public(), size, 1)
		synctest.Wait() // being written, which nobody takes
		flooded := bytes(put(o, &senders[0], key.NewNode().Public(), size, many))
		if flooded > outboxLimit/2 || flooded < outboxLimit/2-bytes(1) {
			t.Errorf("one alone has %d bytes wait, want %d", flooded, outboxLimit/2)
		}
		sum := flooded
		for i := range senders[1:] {
			got := bytes(put(o, &senders[i+1], key.NewNode().Public(), size, many))
			if least := outboxLimit>>(i+2) - bytes(1); got < least {
				t.Errorf("another has %d bytes wait, want %d at least", got, least)
			}
			sum += got
		}
		if sum > outboxLimit {
			t.Errorf("%d bytes wait, want %d at most", sum, outboxLimit)
		}
		if again := put(o, &senders[0], key.NewNode().Public(), size, many); again != 0 {
			t.Errorf("the first has %d more packets wait", again)
		}
	})
}

// A client that takes nothing is disconnected, and what waited for it counted.
func TestAClientThatReadsNothingIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := boxed(t)
		counts := o.line.board.counts
		put(o, nil, key.NewNode().Public(), 1000, 7)
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		if got := testutil.ToFloat64(counts.ended[endedWrite]); got != 1 {
			t.Errorf("%v clients were ended for taking nothing, want one", got)
		}
		if put(o, nil, key.NewNode().Public(), 1000, 1) != 0 {
			t.Error("a closed outbox takes packets")
		}
		if _, err := o.line.conn.Write([]byte("more")); err == nil {
			t.Error("the connection is open")
		}
	})
}

// Frames that are no packets are never dropped, but not kept without end either.
func TestAClientThatIsToldTooMuchIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := boxed(t)
		told := goneFrame(key.NewNode().Public(), derp.PeerGoneReasonDisconnected)
		for range 2 * outboxControl / len(told) {
			o.control(told)
		}
		synctest.Wait()
		if _, err := o.line.conn.Write([]byte("more")); err == nil {
			t.Error("the connection is open")
		}
	})
}

// Who reads faster than others write pauses until what waits is taken, but not long.
func TestReadersPauseForAnOutboxThatFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, far := boxed(t)
		pauses := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			o.await(pauseMost)
			if took := time.Since(began); took != want {
				t.Errorf("paused for %v, want %v", took, want)
			}
		}
		fill := func() {
			put(o, nil, key.NewNode().Public(), 1280, 1)
			synctest.Wait()
		}
		pauses(0)
		fill() // is being written
		pauses(0)
		fill()
		go func() {
			time.Sleep(pauseMost / 2)
			far.Read(make([]byte, writeSize))
		}()
		pauses(pauseMost / 2)
		fill()
		pauses(pauseMost)
	})
}

// greeted connects a client by hand.
func greeted(t *testing.T, s *switchboard, k key.NodePrivate, opts ...derp.ClientOpt) (*derp.Client, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	if err := s.enter(far); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer s.leave(far)
		s.serve(far, nil, nil, "192.0.2.1:1")
	}()
	c, err := derp.NewClient(k, near, bufio.NewReadWriter(bufio.NewReader(near), bufio.NewWriter(near)), t.Logf, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := c.Recv(); err != nil {
		t.Fatal(m, err)
	}
	return c, near
}
