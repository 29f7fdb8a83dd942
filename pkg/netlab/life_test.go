package netlab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// orphanEnv tells the test binary to be a process that dies with a lab open.
const orphanEnv = "NETLAB_ORPHAN"

// gone waits until the process with the given id has ended.
func gone(t *testing.T, id string) {
	t.Helper()
	pid, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
	if n != 1 {
		t.Errorf("process %d still runs (%v)", pid, err)
	}
}

// background leaves a process running on a host, as a daemon does, and returns
// its id.
func background(t *testing.T, h *Host) string {
	t.Helper()
	out, err := h.Output(t.Context(), "sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func namespaces(t *testing.T, prefix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(namespaceDir, prefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestNothingOutlivesTheLab(t *testing.T) {
	var daemon, left string
	t.Run("lab", func(t *testing.T) {
		lab := New(t)
		left = lab.prefix
		daemon = background(t, lab.Router("home", PortRestricted).Host("laptop"))
		if n := len(namespaces(t, left)); n != 3 {
			t.Errorf("%d namespaces, want internet, home and laptop", n)
		}
	})
	if daemon == "" {
		t.SkipNow()
	}
	gone(t, daemon)
	if names := namespaces(t, left); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// A killed test process cannot clean up. The next lab does it.
func TestSweepAfterAKilledProcess(t *testing.T) {
	if os.Getenv(orphanEnv) != "" {
		lab := New(t)
		fmt.Println(lab.prefix, background(t, lab.Host("host")))
		// It is killed here, or ends by itself if its parent is gone.
		_, err := io.Copy(io.Discard, os.Stdin)
		t.Fatalf("not killed: %v", err)
	}
	New(t) // or skip
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(stdout).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended by itself: %v", err)
	}
	prefix, daemon, ok := strings.Cut(strings.TrimSpace(line), " ")
	if readErr != nil || !ok {
		t.Fatalf("the process said %q (%v)", line, readErr)
	}
	if err := syscall.Kill(cmd.Process.Pid, 0); err == nil {
		t.Fatalf("process %d is not gone", cmd.Process.Pid)
	}
	if len(namespaces(t, prefix)) == 0 {
		t.Fatal("the killed process left nothing to sweep")
	}
	New(t)
	if names := namespaces(t, prefix); len(names) != 0 {
		t.Errorf("not swept: %v", names)
	}
	gone(t, daemon)
}

func TestLabsDoNotMeet(t *testing.T) {
	a, b := New(t), New(t)
	hostA, hostB := a.Host("host"), b.Host("host")
	a.Host("second")
	if hostA.Addr() != hostB.Addr() {
		t.Fatalf("%v and %v: labs number their hosts alike", hostA.Addr(), hostB.Addr())
	}
	const port = 4000
	ca := udpAt(t, hostA.Node, netip.AddrPortFrom(hostA.Addr(), port))
	cb := udpAt(t, hostB.Node, netip.AddrPortFrom(hostB.Addr(), port))
	second := udp(t, b.Host("second").Node, netip.IPv4Unspecified())
	send(t, second, addrOf(cb), "within b")
	receive(t, cb, "within b")
	silent(t, ca)
}

// A socket stays on its host, whatever thread uses it afterwards.
func TestSocketsStayOnTheirHost(t *testing.T) {
	lab := New(t)
	a, b := lab.Host("a"), lab.Host("b")
	ca, cb := udp(t, a.Node, a.Addr()), udp(t, b.Node, b.Addr())
	done := make(chan error)
	go func() {
		_, err := ca.WriteToUDPAddrPort([]byte("hello"), addrOf(cb))
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if from := receive(t, cb, "hello"); from.Addr() != a.Addr() {
		t.Errorf("b saw %v, want %v", from, a.Addr())
	}
}

func TestIPv6OnlyKeepsLoopback(t *testing.T) {
	lab := New(t)
	host := lab.Host("host")
	host.IPv6Only()
	l := listenTCP(t, host.Node, netip.MustParseAddr("127.0.0.1"))
	connectTCP(t, host.Node, l)
}

// A program's children hold on to its output; they end with it all the same.
func TestOutputEndsWithItsContext(t *testing.T) {
	lab := New(t)
	host := lab.Host("host")
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	begin := time.Now()
	_, err := host.Output(ctx, "sh", "-c", "sleep 600; true")
	if took := time.Since(begin); err == nil || took > patience {
		t.Errorf("took %v (%v)", took, err)
	}
}

func TestDoReturnsWhenItsFunctionLeaves(t *testing.T) {
	lab := New(t)
	host := lab.Host("host")
	if err := host.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error")
	}
}

// A process may have the id of one that is gone.
func TestSweepTellsProcessesOfOneIdApart(t *testing.T) {
	New(t) // or skip
	name := fmt.Sprintf("%s%d-%d-1-internet", prefix, os.Getpid(), 1)
	if err := onThread(func() error {
		ns, err := netns.NewNamed(name)
		return errors.Join(err, ns.Close())
	}); err != nil {
		t.Fatal(err)
	}
	New(t)
	if left := namespaces(t, strings.TrimPrefix(name, namespaceDir)); len(left) != 0 {
		t.Errorf("not swept: %v", left)
	}
}
