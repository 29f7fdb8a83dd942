package port

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// chosen listens on ports below those that the kernel gives away.
func chosen(t *testing.T, network, host string) uint16 {
	t.Helper()
	from, _ := ephemeral()
	for p := from - 1; p > from-500; p-- {
		address := net.JoinHostPort(host, strconv.Itoa(int(p)))
		if network == UDP {
			if c, err := net.ListenPacket(network, address); err == nil {
				t.Cleanup(func() { c.Close() })
				return p
			}
		} else if l, err := net.Listen(network+family(host), address); err == nil {
			t.Cleanup(func() { l.Close() })
			return p
		}
	}
	t.Skipf("no %s here", host)
	return 0
}

// family is 4 or 6: left to itself, 0.0.0.0 is all addresses of both.
func family(host string) string {
	if netip.MustParseAddr(host).Is4() {
		return "4"
	}
	return "6"
}

// The kernel's two answers to one question.
func TestSockDiagAndProcAgree(t *testing.T) {
	wanted := []Socket{
		{Network: TCP, Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), chosen(t, TCP, "127.0.0.1"))},
		{Network: TCP, Addr: netip.AddrPortFrom(netip.IPv6Loopback(), chosen(t, TCP, "::1"))},
		{Network: TCP, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), chosen(t, TCP, "0.0.0.0"))},
		{Network: UDP, Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), chosen(t, UDP, "127.0.0.1"))},
	}
	s, err := openScanner()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.fd < 0 {
		t.Skip("no sock_diag here")
	}
	if err := s.ask(); err != nil {
		t.Fatal(err)
	}
	asked := slices.Clone(s.found)
	s.found = s.found[:0]
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]Socket{"sock_diag": asked, "/proc": s.found} {
		for _, w := range wanted {
			i := slices.IndexFunc(list, func(k Socket) bool { return k.Network == w.Network && k.Addr == w.Addr })
			if i < 0 {
				t.Errorf("%s does not have %v", name, w)
				continue
			}
			if k := list[i]; k.Inode == 0 || k.UID != uint32(os.Getuid()) {
				t.Errorf("%s has %+v", name, k)
			}
		}
	}
}

func TestAListNamesWhatListens(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	from, _ := ephemeral()
	want := from - 700
	cmd := exec.Command(python, "-c", `
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", `+strconv.Itoa(int(want))+`)); s.listen(7); print("ready", flush=True); sys.stdin.read()`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	own := chosen(t, TCP, "127.0.0.1")
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(l Listening) bool { return l.Network == TCP && l.Port == want })
	if i < 0 {
		t.Fatalf("port %d is not in %v", want, list)
	}
	l := list[i]
	if l.PID != cmd.Process.Pid || l.Process == "" || l.Address != "127.0.0.1" || l.backlog != 7 {
		t.Errorf("got %+v", l)
	}
	if slices.ContainsFunc(list, func(l Listening) bool { return l.Port == own && l.Network == TCP }) {
		t.Error("this process's own port is in the list")
	}
}

func BenchmarkScan(b *testing.B) {
	s, err := openScanner()
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	for b.Loop() {
		if _, err := s.scan(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanProc(b *testing.B) {
	s, err := openScanner()
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	for b.Loop() {
		s.found = s.found[:0]
		if err := s.read(); err != nil {
			b.Fatal(err)
		}
	}
}
