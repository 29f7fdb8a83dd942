package tunnel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/tuntest"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

var (
	self  = netip.MustParseAddr("fdad:17:ad17::1")
	alice = netip.MustParseAddr("fdad:17:ad17::a")
	eve   = netip.MustParseAddr("fdad:17:ad17::e")
)

// sink counts the packets that the filter lets in, and gives out those that
// the stack sends.
type sink struct {
	tun.Device
	in   int
	last []byte
	out  [][]byte
}

func (s *sink) Write(bufs [][]byte, _ int) (int, error) {
	s.in += len(bufs)
	s.last = bufs[len(bufs)-1]
	return len(bufs), nil
}

func (s *sink) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n := copy(bufs[0][offset:], s.out[0])
	sizes[0], s.out = n, s.out[1:]
	return 1, nil
}

func newFiltered() (*filteredDevice, *sink) {
	s := &sink{Device: tuntest.NewChannelTUN().TUN()}
	f := newFilteredDevice(s)
	f.setSelf(self)
	return f, s
}

const (
	protoTCP, protoUDP, protoICMP6 = 6, 17, 58
	tcpSYN, tcpRST, tcpACK         = 0x02, 0x04, 0x10
	echoRequest, echoReply         = 128, 129
)

// ipv6Packet is a minimal IPv6 packet. For ICMP, dport is the type.
func ipv6Packet(src, dst netip.Addr, proto byte, sport, dport uint16, flags byte) []byte {
	const payload = 20
	b := make([]byte, 40+payload)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], payload)
	b[6], b[7] = proto, 64
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	t := b[40:]
	if proto == protoICMP6 {
		t[0] = byte(dport)
		return b
	}
	binary.BigEndian.PutUint16(t, sport)
	binary.BigEndian.PutUint16(t[2:], dport)
	if proto == protoTCP {
		t[12], t[13] = 5<<4, flags
	} else {
		binary.BigEndian.PutUint16(t[4:], payload)
	}
	return b
}

// admitted reports whether the filter lets a packet in, as it is.
func admitted(t *testing.T, f *filteredDevice, s *sink, p []byte) bool {
	t.Helper()
	s.last = nil
	if _, err := f.Write([][]byte{bytes.Clone(p)}, 0); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(s.last, p)
}

func TestNothingIsAdmittedByDefault(t *testing.T) {
	f, s := newFiltered()
	for name, p := range map[string][]byte{
		"TCP":  ipv6Packet(alice, self, protoTCP, 1000, 22, tcpSYN),
		"UDP":  ipv6Packet(alice, self, protoUDP, 1000, 53, 0),
		"ping": ipv6Packet(alice, self, protoICMP6, 0, echoRequest, 0),
	} {
		if admitted(t, f, s, p) {
			t.Errorf("%s was let in without a policy", name)
		}
	}
}

func TestPolicyAdmitsItsPeerAndPortsOnly(t *testing.T) {
	f, s := newFiltered()
	f.setAllowed(alice, []*meshv1.Allow{{Protocol: meshv1.Allow_TCP, FirstPort: 22, LastPort: 22}})
	for _, tt := range []struct {
		name string
		p    []byte
		want bool
	}{
		{"alice to 22", ipv6Packet(alice, self, protoTCP, 1000, 22, tcpSYN), true},
		{"alice to 80", ipv6Packet(alice, self, protoTCP, 1000, 80, tcpSYN), false},
		{"alice by UDP", ipv6Packet(alice, self, protoUDP, 1000, 22, 0), false},
		{"eve to 22", ipv6Packet(eve, self, protoTCP, 1000, 22, tcpSYN), false},
		{"alice to somebody else", ipv6Packet(alice, eve, protoTCP, 1000, 22, tcpSYN), false},
		{"no packet", []byte{1, 2, 3}, false},
	} {
		if got := admitted(t, f, s, tt.p); got != tt.want {
			t.Errorf("%s: let in %v, want %v", tt.name, got, tt.want)
		}
	}
	f.setAllowed(alice, nil)
	if admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 1001, 22, tcpSYN)) {
		t.Error("alice still gets in after her policy went")
	}
}

func TestAnyMeansTCPAndUDPAndPing(t *testing.T) {
	f, s := newFiltered()
	f.setAllowed(alice, []*meshv1.Allow{{}})
	for name, p := range map[string][]byte{
		"TCP":  ipv6Packet(alice, self, protoTCP, 1000, 65535, tcpSYN),
		"UDP":  ipv6Packet(alice, self, protoUDP, 1000, 1, 0),
		"ping": ipv6Packet(alice, self, protoICMP6, 0, echoRequest, 0),
	} {
		if !admitted(t, f, s, p) {
			t.Errorf("%s was kept out", name)
		}
	}
}

func TestAnswersAreAdmittedWithoutAPolicy(t *testing.T) {
	f, s := newFiltered()
	s.out = [][]byte{ipv6Packet(self, alice, protoUDP, 5000, 53, 0)}
	if _, err := f.Read([][]byte{make([]byte, 1500)}, make([]int, 1), 0); err != nil {
		t.Fatal(err)
	}
	f.setAllowed(alice, []*meshv1.Allow{{Protocol: meshv1.Allow_TCP}}) // a new policy does not forget what was asked
	if !admitted(t, f, s, ipv6Packet(alice, self, protoUDP, 53, 5000, 0)) {
		t.Error("the answer was kept out")
	}
	if admitted(t, f, s, ipv6Packet(alice, self, protoUDP, 53, 5001, 0)) {
		t.Error("something that nobody asked for was let in")
	}
	f.setAllowed(alice, nil)
	leave(t, f, s, ipv6Packet(self, alice, protoTCP, 5000, 80, tcpSYN))
	if !admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 80, 5000, tcpSYN|tcpACK)) {
		t.Error("the answer to a connection was kept out")
	}
	if admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 80, 5001, tcpSYN|tcpACK)) {
		t.Error("the answer to no connection was let in")
	}
	if admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 80, 5000, tcpSYN)) {
		t.Error("a connection to where another came from was let in")
	}
}

// leave has the stack send packets.
func leave(t *testing.T, f *filteredDevice, s *sink, packets ...[]byte) {
	t.Helper()
	for _, p := range packets {
		s.out = [][]byte{p}
		if _, err := f.Read([][]byte{make([]byte, 1500)}, make([]int, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// What a peer began ends with the rule that let it in, also if it was answered; what this
// node began goes on.
func TestAWithdrawnRuleEndsWhatItLetIn(t *testing.T) {
	f, s := newFiltered()
	f.setAllowed(alice, []*meshv1.Allow{{}})
	theirs := map[string][]byte{
		"TCP":  ipv6Packet(alice, self, protoTCP, 1000, 22, tcpACK),
		"UDP":  ipv6Packet(alice, self, protoUDP, 1000, 53, 0),
		"ping": ipv6Packet(alice, self, protoICMP6, 0, echoRequest, 0),
	}
	if !admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 1000, 22, tcpSYN)) {
		t.Fatal("a connection was kept out")
	}
	for name, p := range theirs {
		if !admitted(t, f, s, p) {
			t.Fatalf("%s was kept out", name)
		}
	}
	leave(t, f, s,
		ipv6Packet(self, alice, protoTCP, 22, 1000, tcpSYN|tcpACK),
		ipv6Packet(self, alice, protoUDP, 53, 1000, 0),
		ipv6Packet(self, alice, protoICMP6, 0, echoReply, 0))
	leave(t, f, s,
		ipv6Packet(self, alice, protoTCP, 5000, 80, tcpSYN),
		ipv6Packet(self, alice, protoUDP, 5000, 53, 0),
		ipv6Packet(self, alice, protoICMP6, 0, echoRequest, 0))
	ours := map[string][]byte{
		"TCP":  ipv6Packet(alice, self, protoTCP, 80, 5000, tcpACK),
		"UDP":  ipv6Packet(alice, self, protoUDP, 53, 5000, 0),
		"ping": ipv6Packet(alice, self, protoICMP6, 0, echoReply, 0),
	}
	for _, rules := range [][]*meshv1.Allow{{{Protocol: meshv1.Allow_TCP, FirstPort: 8080, LastPort: 8080}}, nil} {
		f.setAllowed(alice, rules)
		for name, p := range theirs {
			if admitted(t, f, s, p) {
				t.Errorf("%s goes on with the rules %v", name, rules)
			}
		}
		leave(t, f, s, ipv6Packet(self, alice, protoUDP, 53, 1000, 0)) // the server has not noticed
		if admitted(t, f, s, theirs["UDP"]) {
			t.Errorf("UDP goes on with the rules %v, once it is answered", rules)
		}
		for name, p := range ours {
			if !admitted(t, f, s, p) {
				t.Errorf("%s of this node's ends with the rules %v", name, rules)
			}
		}
	}
}

// Connections from before this process go on once it is told of them, and nothing else that
// a peer sends does; until then they are kept out without a word to either end.
func TestConnectionsFromBeforeGoOn(t *testing.T) {
	f, s := newFiltered()
	f.refused = newRefuser(s)
	f.settling.Store(true)
	n := &Node{filter: f}
	segment := ipv6Packet(alice, self, protoTCP, 22, 5000, tcpACK)
	if admitted(t, f, s, segment) || s.last != nil || len(s.out) != 0 {
		t.Fatalf("before: let in, or said to this machine %x or to the peer %x", s.last, s.out)
	}
	if admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 1000, 22, tcpSYN)) || len(s.out) == 0 {
		t.Error("before: a connection of the peer's is let in, or not refused")
	}
	n.Adopt([]Connection{{Peer: netip.AddrPortFrom(alice, 22), Local: 5000}})
	if !admitted(t, f, s, segment) {
		t.Error("the connection does not go on")
	}
	for name, p := range map[string][]byte{
		"another port of the peer's":     ipv6Packet(alice, self, protoTCP, 23, 5000, tcpACK),
		"another port of this machine's": ipv6Packet(alice, self, protoTCP, 22, 5001, tcpACK),
		"another peer":                   ipv6Packet(eve, self, protoTCP, 22, 5000, tcpACK),
		"the same, begun by the peer":    ipv6Packet(alice, self, protoTCP, 22, 5000, tcpSYN),
	} {
		if admitted(t, f, s, p) {
			t.Errorf("%s is let in", name)
		}
	}
}

// Nobody waits for a connection whose rule is gone: both ends are told.
func TestAWithdrawnConnectionIsResetAtBothEnds(t *testing.T) {
	f, s := newFiltered()
	f.refused = newRefuser(s)
	segment := ipv6Packet(alice, self, protoTCP, 1000, 22, tcpACK)
	binary.BigEndian.PutUint32(segment[44:], 7000)
	binary.BigEndian.PutUint32(segment[48:], 9000)
	if admitted(t, f, s, segment) || s.last == nil {
		t.Fatal("it goes on, or this machine is not told")
	}
	here := s.last
	if len(s.out) != 2 {
		t.Fatalf("%d packets to the peer, want an error and a reset", len(s.out))
	}
	there := s.out[1]
	for _, tt := range []struct {
		name, want string
		p          []byte
	}{
		{"here", "alice:1000 to self:22 RST|ACK 7000", here},
		{"there", "self:22 to alice:1000 RST 9000", there},
	} {
		names := map[netip.Addr]string{self: "self", alice: "alice"}
		end := func(addr, port int) string {
			a, _ := netip.AddrFromSlice(tt.p[addr : addr+16])
			return fmt.Sprintf("%s:%d", names[a], binary.BigEndian.Uint16(tt.p[port:]))
		}
		flags := map[byte]string{tcpRST: "RST", tcpRST | tcpACK: "RST|ACK"}[tt.p[53]]
		if got := fmt.Sprintf("%s to %s %s %d", end(8, 40), end(24, 42), flags, binary.BigEndian.Uint32(tt.p[44:])); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		const whole = 60 // of a segment without a payload
		if n := 40 + int(binary.BigEndian.Uint16(tt.p[4:])); n != whole {
			t.Errorf("%s: %d bytes, want %d", tt.name, n, whole)
		}
		if sum := header.TCP(tt.p[40:whole]).IsChecksumValid(
			tcpip.AddrFrom16([16]byte(tt.p[8:24])), tcpip.AddrFrom16([16]byte(tt.p[24:40])), 0, 0); !sum {
			t.Errorf("%s: wrong checksum", tt.name)
		}
	}
	s.out = nil
	if admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 1000, 22, tcpACK|tcpRST)) || len(s.out) > 1 {
		t.Error("a reset is reset")
	}

	// Nor does whoever would open one wait.
	s.out, s.last = nil, nil
	syn := ipv6Packet(alice, self, protoTCP, 1000, 22, tcpSYN)
	binary.BigEndian.PutUint32(syn[44:], 7000)
	if admitted(t, f, s, syn) || s.last != nil || len(s.out) != 2 {
		t.Fatalf("%d packets to the peer, want an error and a reset", len(s.out))
	}
	if p := s.out[1]; p[53] != tcpRST|tcpACK || binary.BigEndian.Uint32(p[48:]) != 7001 {
		t.Errorf("flags %#x for byte %d, want a reset for 7001", p[53], binary.BigEndian.Uint32(p[48:]))
	}
}

func TestRulesFollowANewAddress(t *testing.T) {
	f, s := newFiltered()
	f.setAllowed(alice, []*meshv1.Allow{{}})
	moved := netip.MustParseAddr("fdad:17:ad17::2")
	f.setSelf(moved)
	if admitted(t, f, s, ipv6Packet(alice, self, protoTCP, 1000, 22, tcpSYN)) {
		t.Error("a packet to the old address was let in")
	}
	if !admitted(t, f, s, ipv6Packet(alice, moved, protoTCP, 1000, 22, tcpSYN)) {
		t.Error("a packet to the new address was kept out")
	}
}

// BenchmarkAnswers is what segments of a connection cost that this node opened, which come
// alone or in batches.
func BenchmarkAnswers(b *testing.B) {
	for _, batch := range []int{1, 32} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f, s := newFiltered()
			for port := range uint16(1000) {
				s.out = [][]byte{ipv6Packet(self, alice, protoTCP, port, 80, tcpSYN)}
				if _, err := f.Read([][]byte{make([]byte, 1500)}, make([]int, 1), 0); err != nil {
					b.Fatal(err)
				}
			}
			bufs := make([][]byte, batch)
			for i := range bufs {
				bufs[i] = ipv6Packet(alice, self, protoTCP, 80, 1, tcpACK)
			}
			segments := 0
			for b.Loop() {
				if _, err := f.Write(bufs, 0); err != nil {
					b.Fatal(err)
				}
				segments += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(segments), "ns/segment")
		})
	}
}

// BenchmarkAdmission is what a datagram costs that belongs to no flow yet.
func BenchmarkAdmission(b *testing.B) {
	for _, peers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			f, _ := newFiltered()
			from := alice
			for range peers {
				f.setAllowed(from, []*meshv1.Allow{{}})
				from = from.Next()
			}
			bufs := [][]byte{ipv6Packet(alice, self, protoUDP, 1000, 53, 0)}
			for b.Loop() {
				if _, err := f.Write(bufs, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Send keeps what is sent in the stack's name.
func (s *sink) Send(packet []byte) { s.out = append(s.out, packet) }

// What is not admitted is answered at once, and its sender's node knows what was denied,
// by whom; of others, or by an error about an error, nobody is told.
func TestWhatIsDeniedIsAnswered(t *testing.T) {
	f, s := newFiltered()
	f.refused = newRefuser(s)
	theirs, there := newFiltered()
	theirs.setSelf(eve)

	refused := func(p []byte) []byte {
		t.Helper()
		s.out = nil
		if admitted(t, f, s, p) {
			t.Fatal("it was admitted")
		}
		if len(s.out) == 0 {
			return nil
		}
		return s.out[0]
	}
	for _, tt := range []struct {
		proto byte
		dport uint16
		want  string
	}{
		{protoTCP, 8080, "did not admit TCP port 8080, 0s ago"},
		{protoUDP, 53, "did not admit UDP port 53, 0s ago"},
		{protoICMP6, echoRequest, "did not admit ping, 0s ago"},
	} {
		answer := refused(ipv6Packet(eve, self, tt.proto, 1000, tt.dport, tcpSYN))
		if answer == nil {
			t.Fatalf("%s: no answer", tt.want)
		}
		told, stop := theirs.denied.until(t.Context(), self)
		if !admitted(t, theirs, there, answer) {
			t.Errorf("%s: the answer does not get through", tt.want)
		}
		if err := context.Cause(told); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: who waits hears %v", tt.want, err)
		}
		stop()
		if v := theirs.denied.verdict(self, time.Now()); v == nil || v.Code != CodeDenied || !strings.Contains(v.Evidence, tt.want) {
			t.Errorf("%+v, want %s", v, tt.want)
		}
	}
	if v := theirs.denied.verdict(self, time.Now().Add(deniedFor)); v != nil {
		t.Errorf("still told of after %v: %+v", deniedFor, v)
	}
	if refused(ipv6Packet(eve, alice, protoTCP, 1000, 80, tcpSYN)) != nil {
		t.Error("what is for another is answered")
	}
	lie := refused(ipv6Packet(eve, self, protoTCP, 1000, 80, tcpSYN))
	copy(lie[8:24], alice.AsSlice())
	if admitted(t, theirs, there, lie); theirs.denied.verdict(alice, time.Now()) != nil || theirs.denied.verdict(self, time.Now()) != nil {
		t.Error("a peer speaks for another")
	}
	const flood = 10 * refusalsAtOnce
	answered := 0
	for range flood {
		if refused(ipv6Packet(eve, self, protoTCP, 1000, 80, tcpSYN)) != nil {
			answered++
		}
	}
	if answered > flood/2 {
		t.Errorf("%d packets of a flood of %d are answered", answered, flood)
	}
}
