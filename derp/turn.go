package derp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// turnRealm is what TURN's passwords are for (RFC 8489, 9.2.1).
	turnRealm = "adit"

	// maxAllocations bounds the ports that TURN has open, and maxAllocationsEach
	// those of one person: several browsers with several terminals.
	maxAllocations     = 2048
	maxAllocationsEach = 64
)

// TURN is how browsers that have no direct path are relayed.
type TURN struct {
	// Secret signs the names and passwords that browsers come with: see
	// https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00.
	Secret string
	// Address returns the address at which the host's UDP ports are reached; the
	// zero address is not known yet.
	Address func() netip.Addr
}

// udpServer answers STUN, and on its first port TURN.
type udpServer struct {
	servers []*turn.Server
	ports   []uint16
	turn    *TURN
	log     *slog.Logger

	requests *prometheus.CounterVec // by what became of them
	open     prometheus.Gauge

	mu   sync.Mutex
	held map[string]int // allocations by person; guarded by mu
	all  int            // guarded by mu
}

// serveUDP answers STUN on UDP addresses, and TURN on the first unless that is nil.
func serveUDP(addrs []string, t *TURN, log *slog.Logger) (*udpServer, error) {
	s := &udpServer{
		turn: t, log: log, held: make(map[string]int),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "adit_relay_stun_packets_total", Help: "Packets to the STUN and TURN ports, by what became of them.",
		}, []string{"result"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "adit_relay_turn_allocations", Help: "Ports that TURN has open for browsers."}),
	}
	for i, addr := range addrs {
		if err := s.serve(addr, i == 0 && t != nil); err != nil {
			return nil, errors.Join(fmt.Errorf("answer STUN on UDP %s: %w", addr, err), s.close())
		}
	}
	return s, nil
}

func (s *udpServer) serve(addr string, withTURN bool) error {
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	conf := turn.ServerConfig{
		Realm: turnRealm, LoggerFactory: quiet{},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: newSieve(conn, s.requests)}},
	}
	if withTURN {
		conf.AuthHandler = turn.LongTermTURNRESTAuthHandler(s.turn.Secret, quiet{}.NewLogger(""))
		conf.QuotaHandler = func(user, _ string, from net.Addr) bool { return s.mayAllocate(user, from) }
		conf.EventHandler = turn.EventHandler{
			OnAllocationCreated: func(_, _ net.Addr, _, user, _ string, _ net.Addr, _ int) { s.count(user, 1) },
			OnAllocationDeleted: func(_, _ net.Addr, _, user, _ string) { s.count(user, -1) },
		}
		conf.PacketConnConfigs[0].RelayAddressGenerator = openPort{s.turn.Address}
		conf.PacketConnConfigs[0].PermissionHandler = mayReach
	}
	server, err := turn.NewServer(conf)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	s.servers = append(s.servers, server)
	s.ports = append(s.ports, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	return nil
}

// close ends all ports. What was read last may be answered a moment longer.
func (s *udpServer) close() error {
	var errs error
	for _, server := range s.servers {
		if err := server.Close(); !errors.Is(err, net.ErrClosed) { // it is closed once more
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// person is whom credentials were made for: their names are TIME:PERSON.
func person(user string) string {
	_, who, _ := strings.Cut(user, ":")
	return who
}

func (s *udpServer) mayAllocate(user string, from net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all < maxAllocations && s.held[person(user)] < maxAllocationsEach {
		return true
	}
	s.log.Debug("TURN refuses another port", "person", person(user), "from", from, "open", s.all)
	return false
}

func (s *udpServer) count(user string, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := person(user)
	s.all += by
	if s.held[who] += by; s.held[who] <= 0 {
		delete(s.held, who)
	}
	s.open.Set(float64(s.all))
}

// mayReach keeps TURN from what only this host should reach: itself, and what
// speaks to the link alone, such as a cloud's metadata.
func mayReach(_ net.Addr, peer net.IP) bool {
	ip, ok := netip.AddrFromSlice(peer)
	ip = ip.Unmap()
	return ok && !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// openPort opens ports of this host for TURN.
type openPort struct{ address func() netip.Addr }

func (o openPort) Validate() error { return nil }

func (o openPort) AllocatePacketConn(network string, port int) (net.PacketConn, net.Addr, error) {
	at := o.address()
	if !at.IsValid() {
		return nil, nil, errors.New("the relay does not know its address yet")
	}
	conn, err := net.ListenPacket(network, net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, nil, err
	}
	opened := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return conn, net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, opened)), nil
}

func (o openPort) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errors.ErrUnsupported
}

// addressOf is an address that is learned once.
type addressOf struct{ at atomic.Pointer[netip.Addr] }

func (a *addressOf) learn(at netip.Addr) {
	at = at.Unmap().WithZone("")
	a.at.Store(&at)
}

func (a *addressOf) get() netip.Addr {
	if at := a.at.Load(); at != nil {
		return *at
	}
	return netip.Addr{}
}

// quiet is a logger of the TURN library that says nothing: it has an error for
// whatever a stranger sends, which requests counts.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, discard{})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
