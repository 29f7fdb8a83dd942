package tunnel

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/netlab"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/tunnel/hostnet"
	"github.com/aditmesh/adit/tunnel/netstack"
	"github.com/aditmesh/adit/tunnel/path"
)

// throughputPort is where the receiver listens.
const throughputPort = 5001

// ends are the two processes: one sends, one receives. They find each other
// without a coordinator.
var ends = [2]struct {
	role string
	key  [32]byte
	addr netip.Addr
}{
	{"send", [32]byte{1: 1}, netip.MustParseAddr("fdad:17:ad17::1")},
	{"receive", [32]byte{1: 2}, netip.MustParseAddr("fdad:17:ad17::2")},
}

func publicKey(t testing.TB, private [32]byte) [32]byte {
	priv, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(priv.PublicKey().Bytes())
}

// TestThroughputChild is one end, in a process of its own. It says its disco
// key and port, is told the other end's, and then does what it is there for.
func TestThroughputChild(t *testing.T) {
	role := os.Getenv("ADIT_TEST_THROUGHPUT")
	if role == "" {
		t.Skip("run by the throughput benchmark")
	}
	self, peer := ends[0], ends[1]
	if role == peer.role {
		self, peer = peer, self
	}
	inner, fit := innerNetwork(t, role, self.addr)
	filtered := newFilteredDevice(fit)
	filtered.opened = fit.noteOpened
	filtered.setSelf(self.addr)
	filtered.setAllowed(peer.addr, []*meshv1.Allow{{Protocol: meshv1.Allow_ANY}})
	bind, err := path.New(path.Config{
		PrivateKey: self.key, Exclude: meshaddr.Prefix.Contains,
		OnReceived: filtered.in.enter, OnSent: filtered.out.leave,
	})
	if err != nil {
		t.Fatal(err)
	}
	dev := device.NewDevice(filtered, bind, device.NewLogger(device.LogLevelError, ""))
	defer bind.Shutdown()
	defer dev.Close()
	if err := dev.IpcSet(fmt.Sprintf("private_key=%x\nlisten_port=4242\n", self.key)); err != nil {
		t.Fatal(err)
	}
	if err := dev.Up(); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("disco %x\n", bind.DiscoKey())
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	told := strings.Fields(in.Text())
	disco, err := hex.DecodeString(told[0])
	if err != nil {
		t.Fatal(err)
	}
	pub := publicKey(t, peer.key)
	p := bind.SetPeer(path.PeerInfo{PublicKey: pub, DiscoKey: [32]byte(disco), Endpoints: []netip.AddrPort{netip.MustParseAddrPort(told[1])}})
	if err := dev.IpcSet(fmt.Sprintf("public_key=%x\nendpoint=%s\nallowed_ip=%s/128\n", pub, p.EndpointString(), peer.addr)); err != nil {
		t.Fatal(err)
	}
	fit.setPath(peer.addr, p)
	p.SetInDevice(true)
	if role == "receive" {
		receive(t, inner)
	}
	for !p.Path().Direct.IsValid() || p.MTU() <= 1280 {
		time.Sleep(10 * time.Millisecond) // the parent bounds the time
	}
	fmt.Printf("direct %d\n", p.MTU())
	if dir := os.Getenv("ADIT_TEST_PROFILES"); dir != "" {
		f, err := os.Create(filepath.Join(dir, role+".cpu"))
		if err != nil {
			t.Fatal(err)
		}
		pprof.StartCPUProfile(f)
		defer func() {
			pprof.StopCPUProfile()
			f.Close()
			h, _ := os.Create(filepath.Join(dir, role+".heap"))
			pprof.Lookup("heap").WriteTo(h, 0)
			h.Close()
		}()
	}
	if role == "send" {
		send(t, inner, peer.addr, in)
	} else {
		for in.Scan() {
			tellCPU()
		}
	}
	fmt.Printf("resident %d %d\n", residentNow(t, "VmRSS:"), residentNow(t, "VmHWM:"))
}

// inner is the network inside the tunnel.
type inner interface {
	DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	ListenTCP(port uint16) (net.Listener, error)
}

// innerNetwork makes what a role has inside the tunnel: a stack of this process's, or
// the kernel's by an interface if ADIT_TEST_KERNEL names the role.
func innerNetwork(t *testing.T, role string, addr netip.Addr) (inner, *fittingDevice) {
	if strings.Contains(os.Getenv("ADIT_TEST_KERNEL"), role) {
		dev, err := hostnet.Open("adit0")
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.SetAddress(addr, nil, []netip.Prefix{meshaddr.Prefix}); err != nil {
			t.Fatal(err)
		}
		return kernel{addr}, newFittingDevice(dev, false)
	}
	stack, err := netstack.New(stackMTU)
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.SetAddress(addr); err != nil {
		t.Fatal(err)
	}
	return stack, newFittingDevice(stack, true)
}

// kernel is the host's own network, with an address on the interface.
type kernel struct{ addr netip.Addr }

func (kernel) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to.String())
}

func (k kernel) ListenTCP(port uint16) (net.Listener, error) {
	return net.Listen("tcp", netip.AddrPortFrom(k.addr, port).String())
}

func tellCPU() {
	var use syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	fmt.Printf("cpu %f\n", time.Duration(use.Utime.Nano()+use.Stime.Nano()).Seconds())
}

// settling is how long a transfer may take to get up to speed.
const settling = 4 * time.Second

// receive answers each stream with how many bytes came, and how many bits a second
// after settling.
func receive(t *testing.T, inner inner) {
	l, err := inner.ListenTCP(throughputPort)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var all, early int
				var settled time.Time
				began, buf := time.Now(), make([]byte, 128<<10)
				for {
					n, err := conn.Read(buf)
					all += n
					if settled.IsZero() && time.Since(began) > settling {
						early, settled = all, time.Now()
					}
					if err != nil {
						break
					}
				}
				rate := 0.0
				if !settled.IsZero() {
					rate = float64(all-early) * 8 / time.Since(settled).Seconds()
				}
				fmt.Fprintf(conn, "%d %f", all, rate)
			}()
		}
	}()
}

// send reads "streams duration" lines and does that.
func send(t *testing.T, inner inner, to netip.Addr, in *bufio.Scanner) {
	for in.Scan() {
		if in.Text() == "cpu" {
			tellCPU()
			continue
		}
		var streams int
		var lasts string
		fmt.Sscan(in.Text(), &streams, &lasts)
		d, err := time.ParseDuration(lasts)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		counts, rates := make([]int64, streams), make([]float64, streams)
		begin := time.Now()
		for i := range streams {
			all.Go(func() {
				conn, err := inner.DialTCP(context.Background(), netip.AddrPortFrom(to, throughputPort))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				buf := make([]byte, 128<<10)
				for time.Since(begin) < d {
					if _, err := conn.Write(buf); err != nil {
						t.Error(err)
						return
					}
				}
				conn.(interface{ CloseWrite() error }).CloseWrite()
				answer, _ := io.ReadAll(conn)
				fmt.Sscan(string(answer), &counts[i], &rates[i])
			})
		}
		all.Wait()
		var sum int64
		var rate float64
		for i := range streams {
			sum, rate = sum+counts[i], rate+rates[i]
		}
		fmt.Printf("sent %d %f %f\n", sum, time.Since(begin).Seconds(), rate)
	}
}

func residentNow(t *testing.T, what string) int {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, after, _ := strings.Cut(string(raw), what)
	var kib int
	fmt.Sscan(after, &kib)
	return kib
}

// throughputEnd is a child and its pipes.
type throughputEnd struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func (e *throughputEnd) expect(t testing.TB, word string) string {
	for e.out.Scan() {
		if after, ok := strings.CutPrefix(e.out.Text(), word+" "); ok {
			return after
		}
		if !strings.HasPrefix(e.out.Text(), "===") {
			t.Log(e.out.Text())
		}
	}
	t.Fatalf("no %q from the child", word)
	return ""
}

// startThroughput starts both ends on hosts of their own, with more in their
// environment, and has them meet over line if that is not nil.
func startThroughput(t testing.TB, line *netlab.LongWay, environ ...string) (both [2]*throughputEnd, sender *netlab.Host) {
	lab := netlab.New(t)
	hosts := [2]*netlab.Host{lab.Host("a"), lab.Host("b")}
	var at [2]netip.AddrPort
	for i, h := range hosts {
		at[i] = netip.AddrPortFrom(h.Addr(), 4242)
	}
	if line != nil {
		near, far := lab.Host("between").Join(at[0], at[1], *line)
		at = [2]netip.AddrPort{far, near}
	}
	var discos [2]string
	for i, h := range hosts {
		cmd := h.Command(t.Context(), os.Args[0], "-test.run", "^TestThroughputChild$", "-test.v")
		cmd.Env = append(append(os.Environ(), environ...), "ADIT_TEST_THROUGHPUT="+ends[i].role)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Start(cmd); err != nil {
			t.Fatal(err)
		}
		both[i] = &throughputEnd{cmd, in, bufio.NewScanner(out)}
		discos[i] = both[i].expect(t, "disco")
	}
	for i, e := range both {
		fmt.Fprintf(e.in, "%s %v\n", discos[1-i], at[1-i])
	}
	for _, e := range both {
		t.Log("mtu", e.expect(t, "direct"))
	}
	return both, hosts[0]
}

// transfer has streams run for a while. It returns how many bytes came, in which
// time, and how many bits a second once settled.
func transfer(t testing.TB, both [2]*throughputEnd, streams int, lasts time.Duration) (bytes int64, seconds, rate float64) {
	fmt.Fprintf(both[0].in, "%d %v\n", streams, lasts)
	fmt.Sscan(both[0].expect(t, "sent"), &bytes, &seconds, &rate)
	return bytes, seconds, rate
}

// residents ends both and returns how many KiB each had in memory.
func residents(t testing.TB, both [2]*throughputEnd) (kib [2]int) {
	for i, e := range both {
		e.in.Close()
		fmt.Sscan(e.expect(t, "resident"), &kib[i])
		e.cmd.Wait()
	}
	return kib
}

// A long way costs no throughput once TCP is up to speed, be it a stack of the process
// or the kernel's.
func TestALongWayCostsNoThroughput(t *testing.T) {
	if os.Getenv("ADIT_TEST_LONG_WAY") == "" {
		t.Skip("not reached in each run yet; set ADIT_TEST_LONG_WAY to try")
	}
	const rate, lasts, least = 200_000_000, settling + 6*time.Second, 0.8
	for name, kernel := range map[string]string{"stacks": "", "kernel sends": "send", "kernel receives": "receive"} {
		t.Run(name, func(t *testing.T) {
			var rates [2]float64
			for i, delay := range []time.Duration{0, 30 * time.Millisecond} {
				both, _ := startThroughput(t, &netlab.LongWay{Delay: delay, Rate: rate}, "ADIT_TEST_KERNEL="+kernel)
				_, _, rates[i] = transfer(t, both, 1, lasts)
				t.Logf("%v there and as much back: %.0f Mbit/s of %d", delay, rates[i]/1e6, rate/1_000_000)
				residents(t, both)
			}
			if rates[1] < least*rates[0] {
				t.Errorf("%.0f Mbit/s at 60 ms, %.0f without, want at least %v of it", rates[1]/1e6, rates[0]/1e6, least)
			}
		})
	}
}

// saturatedRSS is what an end may have in memory after a load, in KiB.
const saturatedRSS = 200 << 10

func TestSaturationTakesLittleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes several times the memory")
	}
	both, _ := startThroughput(t, nil)
	for _, streams := range []int{1, 4} {
		_, _, rate := transfer(t, both, streams, settling+time.Second)
		t.Logf("%d streams: %.2f Gbit/s", streams, rate/1e9)
	}
	for i, kib := range residents(t, both) {
		t.Logf("%s: %d KiB", ends[i].role, kib)
		if kib > saturatedRSS {
			t.Errorf("%s: %d KiB resident, want at most %d", ends[i].role, kib, saturatedRSS)
		}
	}
}

// The fault is the kernel's: what it joined is lost where packets leave the machine.
func TestALinkThatLosesJoinedDatagramsCarriesTheTunnel(t *testing.T) {
	both, sender := startThroughput(t, nil)
	_, _, healthy := transfer(t, both, 1, settling+time.Second)
	heal := sender.Fault(netlab.DropJoined())
	defer heal()
	_, _, rate := transfer(t, both, 1, settling+3*time.Second)
	t.Logf("%.0f Mbit/s, %.0f before", rate/1e6, healthy/1e6)
	// A packet in each of TCP's time-outs is a thousandth of that, however busy the
	// machine is.
	const least = 1. / 50
	if rate < least*healthy {
		t.Errorf("%.1f Mbit/s, want at least %.1f of %.0f", rate/1e6, least*healthy/1e6, healthy/1e6)
	}
	residents(t, both)
}

func BenchmarkThroughput(b *testing.B) {
	both, _ := startThroughput(b, nil)
	lasts := 4 * time.Second
	if s, err := strconv.Atoi(os.Getenv("ADIT_TEST_SECONDS")); err == nil {
		lasts = time.Duration(s) * time.Second
	}
	var last [2]float64
	for range 2 {
		for _, streams := range []int{1, 4} {
			sum, seconds, _ := transfer(b, both, streams, lasts)
			var cpu [2]float64
			for i, e := range both {
				fmt.Fprintln(e.in, "cpu")
				fmt.Sscan(e.expect(b, "cpu"), &cpu[i])
			}
			gib := float64(sum) / (1 << 30)
			fmt.Printf("%d streams: %.2f Gbit/s, CPU seconds per GiB: send %.2f, receive %.2f\n", streams, float64(sum)*8/1e9/seconds, (cpu[0]-last[0])/gib, (cpu[1]-last[1])/gib)
			last = cpu
		}
	}
	for i, kib := range residents(b, both) {
		fmt.Printf("%s: resident %d KiB\n", ends[i].role, kib)
	}
}
