package derp

import (
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"tailscale.com/net/stun"
)

const turnSecret = "a secret of tests"

func startUDP(t *testing.T, address string) *udpServer {
	t.Helper()
	at := func() netip.Addr { return netip.MustParseAddr(address) }
	s, err := serveUDP([]string{"127.0.0.1:0", "127.0.0.1:0"}, &TURN{Secret: turnSecret, Address: at}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() }) // a test may have
	return s
}

// allocate asks for a port as a browser does.
func allocate(t *testing.T, port uint16, user, password string) (net.PacketConn, error) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	c, err := turn.NewClient(&turn.ClientConfig{
		Conn: conn, STUNServerAddr: server, TURNServerAddr: server, Username: user, Password: password, Realm: turnRealm, RTO: 100 * time.Millisecond,
		LoggerFactory: quiet{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); conn.Close() })
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	return c.Allocate()
}

func TestBrowsersAreRelayedForAsLongAsTheirCredentialsLast(t *testing.T) {
	s := startUDP(t, "127.0.0.1")
	good := func(lasts time.Duration) (string, string) {
		user, password, err := turn.GenerateLongTermTURNRESTCredentials(turnSecret, "alice", lasts)
		if err != nil {
			t.Fatal(err)
		}
		return user, password
	}
	user, password := good(time.Hour)
	relayed, err := allocate(t, s.ports[0], user, password)
	if err != nil {
		t.Fatal(err)
	}
	if at := relayed.LocalAddr().(*net.UDPAddr); !at.IP.IsLoopback() || at.Port == 0 {
		t.Errorf("relayed at %v", at)
	}
	if got := testutil.ToFloat64(s.open); got != 1 {
		t.Errorf("%v allocations are counted", got)
	}
	if _, err := allocate(t, s.ports[0], user, "wrong"); err == nil {
		t.Error("a wrong password will do")
	}
	old, oldPassword := good(-time.Minute)
	if _, err := allocate(t, s.ports[0], old, oldPassword); err == nil {
		t.Error("credentials that ended will do")
	}
	if _, err := allocate(t, s.ports[1], user, password); err == nil {
		t.Error("the port for STUN alone relays")
	}
	if err := relayed.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(5 * time.Second); testutil.ToFloat64(s.open) != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the port stays open")
		}
	}
}

func TestOnePersonHasABoundedNumberOfPorts(t *testing.T) {
	s := startUDP(t, "127.0.0.1")
	for range maxAllocationsEach {
		s.count("1:alice", 1)
	}
	if s.mayAllocate("2:alice", nil) || !s.mayAllocate("1:bob", nil) {
		t.Error("the limit is not one person's")
	}
	s.count("1:alice", -1)
	if !s.mayAllocate("3:alice", nil) {
		t.Error("a port that was closed counts")
	}
	for i := range maxAllocations {
		s.count("1:"+strconv.Itoa(i), 1)
	}
	if s.mayAllocate("1:carol", nil) {
		t.Error("there is no limit for all")
	}
}

func TestTURNReachesNobodyBehindTheRelay(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "10.0.0.1": true, "2001:db8::1": true,
		"127.0.0.1": false, "::1": false, "169.254.169.254": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "fe80::1": false, "::ffff:127.0.0.1": false,
	} {
		if got := mayReach(nil, net.ParseIP(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// Requests are answered at a rate that is no use to who forges another's address.
func TestSTUNIsNoAmplifier(t *testing.T) {
	s := newSieve(nil, startUDP(t, "127.0.0.1").requests)
	now := time.Now()
	from := func(i int) net.Addr { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 9} }
	passed := 0
	for range 2 * sourceRequests {
		if s.may(from(1), now) {
			passed++
		}
	}
	if passed != sourceRequests || !s.may(from(2), now) || !s.may(from(1), now.Add(time.Second)) {
		t.Errorf("%d requests passed", passed)
	}
	if n := len(stun.Request(stun.NewTxID())); n > 100 {
		t.Errorf("a request has %d bytes", n)
	}
}

func FuzzKindOf(f *testing.F) {
	f.Add(stun.Request(stun.NewTxID()))
	f.Add(stun.Response(stun.NewTxID(), netip.MustParseAddrPort("192.0.2.1:9")))
	f.Add([]byte{0x40, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		if kindOf(p) == kindRequest && (len(p) < 20 || !stun.Is(p)) {
			t.Errorf("%x is taken for a request", p)
		}
	})
}

// Programs of others know the server for what it is.
func TestOtherProgramsUseSTUNAndTURN(t *testing.T) {
	at := ownAddress(t)
	s, err := serveUDP([]string{netip.AddrPortFrom(at, 0).String()}, &TURN{Secret: turnSecret, Address: func() netip.Addr { return at }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	port := strconv.Itoa(int(s.ports[0]))
	user, password, err := turn.GenerateLongTermTURNRESTCredentials(turnSecret, "alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program string
		args    []string
		says    []string
	}{
		{"stunclient", []string{at.String(), port}, []string{"Binding test: success", "Mapped address: " + at.String() + ":"}}, // of stuntman-client
		{"turnutils_stunclient", []string{"-p", port, at.String()}, []string{"UDP reflexive addr: " + at.String()}},            // of coturn
		{"turnutils_uclient", []string{"-u", user, "-w", password, "-p", port, "-n", "20", "-c", "-y", at.String()}, []string{"Total lost packets 0 "}},
	} {
		t.Run(c.program, func(t *testing.T) {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Skip("it is not installed")
			}
			out, err := exec.CommandContext(t.Context(), c.program, c.args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, want := range c.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q: %s", want, out)
				}
			}
		})
	}
}

// ownAddress is one of this machine's that is not loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address but loopback")
	return netip.Addr{}
}
