package tunnel

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// A node of this many peers, of which so many are active, stays below the
// limit in KiB.
const (
	scalePeers  = 1000
	scaleActive = 10
	scaleRSS    = 64 << 10
)

// scaleTries is how often the node is measured until it is small enough.
const scaleTries = 4

// scaleBytes is what the node sends to each active peer.
const scaleBytes = 1 << 20

// discardPort is where active peers take what is sent to them (RFC 863).
const discardPort = 9

// scaleEnv tells the measured process where its coordinator is.
const scaleEnv = "ADIT_TEST_SCALE"

func TestManyPeersTakeLittleMemory(t *testing.T) {
	c := newCrowd(t)
	for i := range scaleActive {
		l, err := c.node(t, fmt.Sprint("active", i)).ListenTCP(discardPort)
		if err != nil {
			t.Fatal(err)
		}
		go discard(l) // ends with the node
	}
	var nominal []*meshv1.Peer
	for i := range scalePeers - scaleActive {
		nominal = append(nominal, nominalPeer(t, i))
	}
	c.mu.Lock()
	c.nominal = nominal
	c.mu.Unlock()

	// On a machine that is busy with something else packets pile up in WireGuard's
	// queues, in 64 KiB each: that is no matter of peers.
	bin, quietest := scaleBinary(t), scaleReport{peakKiB: math.MaxInt}
	for range scaleTries {
		said := scaleRun(t, c, bin)
		t.Logf("%d peers, %d of them in the device; %d KiB resident at the most, %d KiB of them the heap's and the stacks'; %d ms of CPU to know all",
			scalePeers, said.inDevice, said.peakKiB, said.heapKiB, said.joinCPU)
		if said.inDevice != scaleActive {
			t.Errorf("%d peers are in the device, want the %d active ones", said.inDevice, scaleActive)
		}
		if said.peakKiB < quietest.peakKiB {
			quietest = said
		}
		if quietest.peakKiB <= scaleRSS {
			break
		}
	}
	if quietest.peakKiB == 0 || quietest.peakKiB > scaleRSS {
		t.Errorf("%d KiB resident, want at most %d", quietest.peakKiB, scaleRSS)
	}
}

// scaleRun measures a node in a process of its own.
func scaleRun(t *testing.T, c *crowd, bin string) (said scaleReport) {
	t.Helper()
	child := exec.CommandContext(t.Context(), bin, "-test.run", "^TestScaleChild$", "-test.v")
	child.Env = append(os.Environ(), scaleEnv+"="+c.url.String())
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), scaleFormat, &said.inDevice, &said.peakKiB, &said.heapKiB, &said.joinCPU)
	}
	return said
}

// scaleReport is what the measured process says of itself, in scaleFormat.
type scaleReport struct{ inDevice, peakKiB, heapKiB, joinCPU int }

const scaleFormat = "in the device %d, peak %d, anonymous %d, joining %d"

// TestScaleChild is the node that is measured, in a process of its own.
func TestScaleChild(t *testing.T) {
	base := os.Getenv(scaleEnv)
	if base == "" {
		t.Skip("run by TestManyPeersTakeLittleMemory")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	n := (&crowd{url: u}).node(t, "measured")
	waitPeers(t, n, scalePeers)
	joining := cpuTime(t)
	var sending sync.WaitGroup
	for i := range scaleActive {
		sending.Go(func() {
			name := fmt.Sprint("active", i)
			waitDirect(t, n, name)
			conn, err := n.DialTCP(t.Context(), netip.AddrPortFrom(crowdAddr(name), discardPort))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := io.Copy(conn, io.LimitReader(rand.Reader, scaleBytes)); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	n.mu.Lock()
	inDevice := 0
	for _, p := range n.peers {
		if p.path.InDevice() {
			inDevice++
		}
	}
	n.mu.Unlock()
	fmt.Printf(scaleFormat+"\n", inDevice, memoryKiB(t, "VmHWM:"), memoryKiB(t, "RssAnon:"), joining.Milliseconds())
}

// waitPeers waits until n knows that many peers.
func waitPeers(t *testing.T, n *Node, count int) {
	for {
		n.mu.Lock()
		known, changed := len(n.peers), n.changed
		n.mu.Unlock()
		if known >= count {
			return
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatalf("%d peers known, want %d", known, count)
		}
	}
}

// nominalPeer is a peer that exists in name only. Its address is this machine's.
func nominalPeer(t *testing.T, i int) *meshv1.Peer {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	port := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), discardPort)
	id := fmt.Sprint("nominal", i)
	return &meshv1.Peer{
		Id: id, Name: id, State: meshv1.Peer_HERE, Ready: true, Addresses: []string{crowdAddr(id).String()},
		PublicKey: key.PublicKey().Bytes(), DiscoKey: key.PublicKey().Bytes(), Endpoints: []string{port.String()},
	}
}

// scaleBinary is a program that holds TestScaleChild: this one, unless it has
// the race detector, which takes several times the memory.
func scaleBinary(t *testing.T) string {
	if !raceEnabled {
		return os.Args[0]
	}
	bin := filepath.Join(t.TempDir(), "node.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-race=false", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build without the race detector: %v: %s", err, out)
	}
	return bin
}

// memoryKiB reads a line of what the kernel knows of this process's memory.
func memoryKiB(t *testing.T, line string) (kib int) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, after, _ := strings.Cut(string(raw), line)
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// cpuTime is what this process has used.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// discard takes connections and throws away what they bring, until l closes.
func discard(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(io.Discard, conn) // the sender sees what fails
			_ = conn.Close()
		}()
	}
}
