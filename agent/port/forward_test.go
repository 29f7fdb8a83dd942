package port

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aditmesh/adit/agent/stats"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// serve runs a server on loopback and returns a client of it.
func serve(t *testing.T) (*Client, *Server, *stats.Tally) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tally stats.Tally
	s := NewServer(Config{Listener: l, Packets: packets, Tally: &tally})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	at := map[string]string{TCP: l.Addr().String(), UDP: packets.LocalAddr().String()}
	return &Client{Dial: func(ctx context.Context, network string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at[network])
	}}, s, &tally
}

// background runs something until the test ends, and has it fail the test unless
// it ends with it.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// echo answers each datagram with itself, and who asked.
func echo(t *testing.T, address string) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Skipf("no %s on this machine: %v", address, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

// ask sends a datagram and returns the answer.
func ask(t *testing.T, to string, datagram []byte) ([]byte, error) {
	t.Helper()
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, maxDatagram)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := c.Write(datagram); err != nil {
			continue
		}
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := c.Read(buf); err == nil {
			return buf[:n], nil
		}
	}
	return nil, errors.New("no answer")
}

func TestDatagramsOfAnySizeGoToAPortAndBack(t *testing.T) {
	client, _, tally := serve(t)
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(host, func(t *testing.T) {
			to := echo(t, host)
			socket, err := ListenUDP(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			from := NewDatagrams(socket)
			t.Cleanup(from.Close)
			background(t, func(ctx context.Context) error {
				return client.ForwardUDP(ctx, from, to, func() {}, func() { t.Error("refused") })
			})
			for _, size := range []int{0, 1, pieceLen, pieceLen + 1, 9000, maxDatagram - 100} {
				datagram := bytes.Repeat([]byte{byte(size), 7}, size/2+1)[:size]
				got, err := ask(t, socket.LocalAddr().String(), datagram)
				if err != nil || !bytes.Equal(got, datagram) {
					t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
				}
			}
		})
	}
	if c := tally.Count(); c.Rx == 0 || c.Tx == 0 || !c.Active {
		t.Errorf("counted %+v", c)
	}
}

// Who sends from a socket of its own gets its own answers, however many do.
func TestEachFlowHasItsAnswers(t *testing.T) {
	client, _, _ := serve(t)
	to := echo(t, "127.0.0.1:0")
	socket, err := ListenUDP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := NewDatagrams(socket)
	t.Cleanup(from.Close)
	background(t, func(ctx context.Context) error { return client.ForwardUDP(ctx, from, to, func() {}, func() {}) })
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			want := fmt.Sprint("flow ", i)
			if got, err := ask(t, socket.LocalAddr().String(), []byte(want)); err != nil || string(got) != want {
				t.Errorf("%q: %q, %v", want, got, err)
			}
		})
	}
	all.Wait()
}

func TestDatagramsToAClosedPortAreToldOf(t *testing.T) {
	client, _, _ := serve(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	c.Close()
	socket, err := ListenUDP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := NewDatagrams(socket)
	t.Cleanup(from.Close)
	refused := make(chan struct{}, 100)
	background(t, func(ctx context.Context) error {
		return client.ForwardUDP(ctx, from, closed, func() {}, func() { refused <- struct{}{} })
	})
	out, err := net.Dial("udp", socket.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	timeout := time.After(patience)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		out.Write([]byte("anybody?"))
		select {
		case <-refused:
			return
		case <-timeout:
			t.Fatal("not told")
		case <-tick.C:
		}
	}
}

func TestASessionKeepsFewFlows(t *testing.T) {
	b := &beginning{peers: make(map[string]*origin), flows: make(map[uint32]*origin)}
	now := time.Now()
	for i := range 3 * maxFlows {
		b.flowOf(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: i}, now.Add(time.Duration(i)))
	}
	if len(b.peers) != maxFlows || len(b.flows) != maxFlows {
		t.Errorf("%d flows of %d", len(b.flows), len(b.peers))
	}
	newest := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3*maxFlows - 1}
	if was := b.last; b.flowOf(newest, now.Add(time.Second)) != was {
		t.Error("the newest flow has gone")
	}
	if was := b.last; b.flowOf(newest, now.Add(flowIdle+time.Second)) == was {
		t.Error("a flow that was silent goes on")
	}
}

// Pieces of many datagrams that never become whole cost a few of them.
func TestPartialDatagramsAreFew(t *testing.T) {
	c := &carrier{send: func([]byte) error { return nil }}
	for i := range 1000 {
		h := header{flow: uint32(i + 1), number: uint16(i), index: 0, count: 50}
		if got := c.came(h, make([]byte, pieceLen)); got != nil {
			t.Fatalf("%d bytes of one piece", len(got))
		}
	}
	if len(c.partial) != maxPartial {
		t.Errorf("%d partial datagrams", len(c.partial))
	}
}

func FuzzParsePiece(f *testing.F) {
	b := make([]byte, headerLen+3)
	header{1, 2, 3, 0, 1}.put(b)
	f.Add(b)
	f.Add([]byte{})
	// A piece that is taken is put as it was, and never reaches out of its datagram.
	f.Fuzz(func(t *testing.T, packet []byte) {
		h, data, err := parsePiece(packet)
		if err != nil {
			return
		}
		again := make([]byte, headerLen)
		if h.put(again); !bytes.Equal(again, packet[:headerLen]) {
			t.Errorf("%x became %x", packet[:headerLen], again)
		}
		c := &carrier{}
		if d := c.came(h, data); h.count == 1 && !bytes.Equal(d, data) {
			t.Errorf("%d bytes became %d", len(data), len(d))
		}
	})
}

func TestUnixSocketsAreReachedFromAfar(t *testing.T) {
	client, _, _ := serve(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		data, _ := io.ReadAll(c) // until the half-close
		c.Write(bytes.ToUpper(data))
	}()
	conn, err := client.DialUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "shout")
	closeWrite(conn)
	if got, err := io.ReadAll(conn); err != nil || string(got) != "SHOUT" {
		t.Errorf("%q, %v", got, err)
	}
	for path, want := range map[string]string{
		path + "-not-there": "does not exist",
		"/dev/null":         "nothing listens on",
	} {
		var refused *RefusedError
		if _, err := client.DialUnix(t.Context(), path); !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// reversed has the server listen and returns where, and what failed.
func reversed(t *testing.T, client *Client, r Reverse) (address string, failed chan error) {
	t.Helper()
	ready := make(chan string, 1)
	failed = make(chan error, 100)
	r.Ready = func(a string) { ready <- a }
	r.Failed = func(err error) { failed <- err }
	background(t, func(ctx context.Context) error { return client.Listen(ctx, r) })
	select {
	case a := <-ready:
		return a, failed
	case <-time.After(patience):
		t.Fatal("never ready")
		return "", nil
	}
}

func TestWhatListensInTheWorkspaceLeadsBack(t *testing.T) {
	client, _, _ := serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				data, _ := io.ReadAll(c)
				c.Write(bytes.ToUpper(data))
			}()
		}
	}()
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	for network, address := range map[string]string{TCP: "127.0.0.1:0", Unix: filepath.Join(t.TempDir(), "s")} {
		at, failed := reversed(t, client, Reverse{Network: network, Address: address, Dial: dial})
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				c, err := net.Dial(network, at)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				fmt.Fprintf(c, "hello %d", i)
				closeWrite(c)
				if got, err := io.ReadAll(c); err != nil || string(got) != fmt.Sprintf("HELLO %d", i) {
					t.Errorf("%s: %q, %v", network, got, err)
				}
			})
		}
		all.Wait()
		if len(failed) > 0 {
			t.Error(<-failed)
		}
		if network == Unix {
			if info, err := os.Stat(address); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		}
	}
}

func TestWhatLeadsNowhereIsReset(t *testing.T) {
	client, _, _ := serve(t)
	at, failed := reversed(t, client, Reverse{Network: TCP, Address: "127.0.0.1:0", Dial: func(context.Context) (net.Conn, error) {
		return nil, errors.New("nobody is there")
	}})
	if c, err := net.Dial("tcp", at); err == nil { // else it was reset already
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %d, %v", n, err)
		}
	}
	if err := <-failed; err.Error() != "nobody is there" {
		t.Error(err)
	}
}

func TestDatagramsLeadBack(t *testing.T) {
	client, _, _ := serve(t)
	to := echo(t, "127.0.0.1:0")
	at, _ := reversed(t, client, Reverse{Network: UDP, Address: "127.0.0.1:0", DialUDP: func() (*net.UDPConn, error) { return DialUDP(to) }})
	for _, size := range []int{3, 20_000} {
		datagram := bytes.Repeat([]byte("x"), size)
		if got, err := ask(t, at, datagram); err != nil || !bytes.Equal(got, datagram) {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
}

func TestAnAddressThatIsTakenSaysByWhom(t *testing.T) {
	client, _, _ := serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = client.Listen(t.Context(), Reverse{Network: TCP, Address: l.Addr().String()})
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	for _, r := range []Reverse{
		{Network: TCP, Address: "127.0.0.1:99999"}, {Network: "icmp", Address: "127.0.0.1:0"}, {Network: Unix, Address: "/no/such/directory/s"},
		{Network: UDP, Address: "192.0.2.1:5"},
	} {
		if err := client.Listen(t.Context(), r); !errors.As(err, &refused) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// A socket that a program left behind gives way; one that is served does not, nor
// does a file.
func TestAnAbandonedUnixSocketGivesWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Listen(t.Context(), Unix, path); err == nil {
		second.Close()
		t.Error("took a socket that is served")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	again, err := Listen(t.Context(), Unix, path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(t.Context(), Unix, file); err == nil {
		l.Close()
		t.Error("took a file's place")
	}
}

// What a peer has not taken is closed when it goes, and its port is free.
func TestASessionThatEndsLeavesNothing(t *testing.T) {
	client, s, _ := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- client.Listen(ctx, Reverse{
			Network: TCP, Address: "127.0.0.1:0", Ready: func(a string) { ready <- a }, Failed: func(error) {},
			Dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		})
	}()
	at := <-ready
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	<-ended
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read ended with %v", err)
	}
	for deadline := time.Now().Add(patience); ; {
		l, err := net.Listen("tcp", at)
		if err == nil {
			l.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions)+s.opened != 0 {
		t.Errorf("%d sessions, %d opened", len(s.sessions), s.opened)
	}
}

// Another peer may neither take a connection nor send into a session.
func TestNonsenseIsRefused(t *testing.T) {
	client, _, _ := serve(t)
	for name, line := range map[string]string{
		"no JSON": "{\n", "unknown": `{"do":"dance"}` + "\n", "no session": `{"do":"take","session":5,"id":1}` + "\n",
		"port zero": `{"do":"udp"}` + "\n", "too long": strings.Repeat("x", maxLine+2),
	} {
		c, err := client.Dial(t.Context(), TCP)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, line)
		c.SetDeadline(time.Now().Add(patience))
		if raw, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(raw) > 0 && !strings.Contains(string(raw), "error") {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
		c.Close()
	}
}
