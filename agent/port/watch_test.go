//go:build linux

package port

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// watched runs Watch until the test ends and returns what it reports.
func watched(t *testing.T) <-chan []Seen {
	t.Helper()
	reports := make(chan []Seen, 100)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, WatchConfig{Known: func(uint16) string { return "" }, Report: func(list []Seen) { reports <- list }})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return reports
}

// until reads reports until one is as wanted.
func until(t *testing.T, reports <-chan []Seen, what string, is func([]Seen) bool) time.Time {
	t.Helper()
	timeout := time.After(patience)
	var last []Seen
	for {
		select {
		case last = <-reports:
			if is(last) {
				return time.Now()
			}
		case <-timeout:
			t.Fatalf("not within %v: %s; last %+v", patience, what, last)
		}
	}
}

// childEnv has the test's program serve HTTP on an address, as another process: what
// this one has is not watched.
const childEnv = "ADIT_TEST_SERVE"

func serveAsChild(address string) {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		os.Exit(1)
	}
	go func() { // with the test, it ends
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	_ = http.Serve(l, http.NotFoundHandler())
	os.Exit(1)
}

func child(t *testing.T, address string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+address)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func TestAPortIsSeenWithinASecondAndWhatItSpeaks(t *testing.T) {
	from, _ := ephemeral()
	number := from - 900
	reports := watched(t)
	until(t, reports, "the first report", func([]Seen) bool { return true })
	c := child(t, fmt.Sprintf("127.0.0.1:%d", number))
	find := func(list []Seen) (Seen, bool) {
		i := slices.IndexFunc(list, func(s Seen) bool { return s.Port == number && s.Network == TCP })
		if i < 0 {
			return Seen{}, false
		}
		return list[i], true
	}
	// It listens from some time before it answers.
	var began time.Time
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", number))
		if err == nil {
			conn.Close()
			began = time.Now()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	seen := until(t, reports, "the port", func(list []Seen) bool { _, ok := find(list); return ok })
	if took := seen.Sub(began); took > time.Second {
		t.Errorf("seen after %v", took)
	} else {
		t.Logf("seen after %v", took)
	}
	until(t, reports, "that it speaks HTTP", func(list []Seen) bool {
		s, _ := find(list)
		return s.Protocol == HTTP && s.PID == c.Process.Pid && s.Address == "127.0.0.1"
	})
	c.Process.Signal(syscall.SIGKILL)
	until(t, reports, "that it is gone", func(list []Seen) bool { _, ok := find(list); return !ok })
}

func TestProbe(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodOptions || r.RequestURI != "*" {
			t.Errorf("a probe asked for %s %s", r.Method, r.RequestURI)
		}
	})
	plain, secure := httptest.NewServer(hello), httptest.NewTLSServer(hello)
	defer plain.Close()
	defer secure.Close()
	talker := serveTCP(t, func(c net.Conn) { c.Write([]byte("SSH-2.0-test\r\n")); c.Read(make([]byte, 1)) })
	silent := serveTCP(t, func(c net.Conn) { c.Read(make([]byte, 2048)); c.Read(make([]byte, 1)) })
	closer := serveTCP(t, func(net.Conn) {})
	for address, want := range map[string]string{
		plain.Listener.Addr().String(): HTTP, secure.Listener.Addr().String(): HTTPS, talker: "", silent: "", closer: "", "127.0.0.1:1": "",
	} {
		host, number, _ := net.SplitHostPort(address)
		var n uint16
		fmt.Sscan(number, &n)
		if got := probe(t.Context(), Listening{Address: host, Port: n}); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func serveTCP(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// Those that take one connection keep it for whom it is.
func TestOneConnectionIsNobodysToTake(t *testing.T) {
	for name, l := range map[string]Listening{
		"netcat":       {Port: 8000, Process: "nc", backlog: 100},
		"backlog of 1": {Port: 8000, Process: "python3", backlog: 1},
		"another's":    {Port: 8000, backlog: 128},
		"a database":   {Port: 5432, Process: "wrapper", backlog: 128},
	} {
		if mayProbe(l) {
			t.Errorf("%s would be probed", name)
		}
	}
	if !mayProbe(Listening{Port: 3000, Process: "node", backlog: 511}) {
		t.Error("a web server would not be probed")
	}
}

// What nobody changes costs next to nothing to look at.
func TestLookingAgainAllocatesNothing(t *testing.T) {
	s, err := openScanner()
	if err != nil || s.slow() {
		t.Skip("no sock_diag here")
	}
	defer s.close()
	w := &watcher{
		cfg: WatchConfig{Known: func(uint16) string { return TCP }, Report: func([]Seen) {}}, programs: make(map[uint32]Program),
		protocols: make(map[uint32]string), guessed: make(chan guess), slots: make(chan struct{}, maxProbes),
	}
	sockets, _ := s.scan()
	w.look(t.Context(), sockets)
	// Of another test, something may change meanwhile.
	if n := testing.AllocsPerRun(50, func() {
		sockets, err := s.scan()
		if err != nil {
			t.Fatal(err)
		}
		w.look(t.Context(), sockets)
	}); n > 1 {
		t.Errorf("%v allocations a look", n)
	}
}
