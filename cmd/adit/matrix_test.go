package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// place is a kind of network that a node may be on.
type place struct {
	name string
	// build makes one such network; what it returns is on it. Each is for one
	// host, but that of the LAN, where every host is on the same.
	build func(lab *netlab.Lab, name string) *netlab.Host
	// v4 and v6 are the protocols spoken there; blocked says that UDP is not.
	v4, v6, blocked bool
	// hard and open say that the NAT maps each destination differently, and
	// that it lets in whoever knows where.
	hard, open bool
}

// places are all kinds, in the order of the matrix.
func places() []place {
	behind := func(nat netlab.NAT) func(*netlab.Lab, string) *netlab.Host {
		return func(lab *netlab.Lab, name string) *netlab.Host {
			h := lab.Router(name+"-router", nat).Host(name)
			h.IPv4Only()
			return h
		}
	}
	var lan *netlab.Router
	return []place{
		{name: "none", v4: true, v6: true, open: true, build: func(lab *netlab.Lab, name string) *netlab.Host { return lab.Host(name) }},
		{name: "full-cone", v4: true, open: true, build: behind(netlab.FullCone)},
		{name: "port-restricted", v4: true, build: behind(netlab.PortRestricted)},
		{name: "hard", v4: true, hard: true, build: behind(netlab.Hard)},
		{name: "blocked", v4: true, blocked: true, build: func(lab *netlab.Lab, name string) *netlab.Host {
			r := lab.Router(name+"-router", netlab.PortRestricted)
			r.Fault(netlab.BlockUDP())
			h := r.Host(name)
			h.IPv4Only()
			return h
		}},
		{name: "ipv6-only", v6: true, build: func(lab *netlab.Lab, name string) *netlab.Host {
			h := lab.Router(name+"-router", netlab.PortRestricted).Host(name)
			h.IPv6Only()
			return h
		}},
		{name: "double-nat", v4: true, build: func(lab *netlab.Lab, name string) *netlab.Host {
			h := lab.Router(name+"-carrier", netlab.PortRestricted).Router(name+"-router", netlab.PortRestricted).Host(name)
			h.IPv4Only()
			return h
		}},
		{name: "lan", v4: true, build: func(lab *netlab.Lab, name string) *netlab.Host {
			if lan == nil {
				lan = lab.Router("lan-router", netlab.PortRestricted)
			}
			h := lan.Host(name)
			h.IPv4Only()
			return h
		}},
	}
}

// verdict is the code that two places end with; empty for a direct path.
func (p place) verdict(q place) string {
	switch {
	case p.blocked || q.blocked:
		return "udp-blocked"
	case !(p.v4 && q.v4 || p.v6 && q.v6):
		return "ip-versions"
	case p.hard && q.hard:
		return "hard-nat-both"
	}
	return ""
}

// guesses says that the two meet only by guessing ports.
func (p place) guesses(q place) bool {
	return p.hard && !q.open && q.v4 || q.hard && !p.open && p.v4
}

const (
	// directWithin and guessedWithin are how long two nodes that can be direct
	// may take to be in any one trial, on a machine that is busy with other
	// tests. The medians of directUsually and guessedUsually are asked for only
	// where there are enoughTrials.
	directWithin, directUsually   = time.Second, 300 * time.Millisecond
	guessedWithin, guessedUsually = 10 * time.Second, 3 * time.Second
	enoughTrials                  = 5

	// relayedFor is how long two that cannot be direct are watched. It is enough
	// for STUN to find out that UDP is blocked, and for all that a first burst
	// of pings may lead to.
	relayedFor = 6 * time.Second

	// relayedAtOnce is how many such pairs are watched at the same time.
	relayedAtOnce = 6
)

// trial is what was seen of one meeting of two nodes.
type trial struct {
	// direct is from when both ends knew of each other until both were direct,
	// and firstByte until the first echo was back, by whatever path.
	direct, firstByte time.Duration
}

// matrix is a server that everybody can reach, and an agent and a laptop on each
// kind of network.
type matrix struct {
	*deployment
	token  string
	hosts  map[string]*netlab.Host // of the laptops, by place
	agents map[string]*program     // by place
}

// Each kind of network against each. Every trial is a process of its own, with a
// port and a key nobody has seen; the agents stay. ADIT_MATRIX_TRIALS says how
// many trials a pair gets, and -run picks pairs, as in
//
//	ADIT_MATRIX_TRIALS=20 go test ./cmd/adit -v -run 'TestNATMatrix/^hard_to_port-restricted$'
func TestNATMatrix(t *testing.T) {
	trials, err := strconv.Atoi(os.Getenv("ADIT_MATRIX_TRIALS"))
	if err != nil {
		trials = 1
	}
	kinds := places()
	m := newMatrix(t, kinds)
	var mu sync.Mutex
	cells := map[[2]string]string{}
	note := func(from, to place, text string) {
		mu.Lock()
		defer mu.Unlock()
		cells[[2]string{from.name, to.name}] = text
	}

	for _, from := range kinds {
		for _, to := range kinds {
			if from.verdict(to) != "" {
				continue
			}
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				within, usually := directWithin, directUsually
				if from.guesses(to) {
					within, usually = guessedWithin, guessedUsually
				}
				var got []trial
				for range trials {
					got = append(got, m.meet(t, from, to, within))
				}
				direct, first := spread(got, func(t trial) time.Duration { return t.direct }), spread(got, func(t trial) time.Duration { return t.firstByte })
				if trials >= enoughTrials && direct.p50 > usually {
					t.Errorf("direct after %v in the median, want %v", direct.p50, usually)
				}
				t.Logf("direct after %v; first byte after %v", direct, first)
				note(from, to, strconv.FormatInt(direct.p50.Milliseconds(), 10)+" ms")
			})
		}
	}
	t.Run("relayed", func(t *testing.T) {
		turns := make(chan struct{}, relayedAtOnce)
		for _, from := range kinds {
			for _, to := range kinds {
				code := from.verdict(to)
				if code == "" {
					continue
				}
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					t.Parallel()
					turns <- struct{}{}
					defer func() { <-turns }()
					m.stayRelayed(t, from, to, code)
					note(from, to, code)
				})
			}
		}
	})
	t.Logf("median time to direct of %d trials, from (row) to (column), or why there is no direct path:\n%s", trials, grid(kinds, cells))
}

// newMatrix builds everything and waits until all agents are ready.
func newMatrix(t *testing.T, kinds []place) *matrix {
	m := &matrix{
		deployment: newDeployment(t, "--listen", "[::]:7080"),
		hosts:      map[string]*netlab.Host{}, agents: map[string]*program{},
	}
	agents := map[string]*netlab.Host{}
	for _, k := range kinds {
		m.hosts[k.name], agents[k.name] = k.build(m.lab, "l-"+k.name), k.build(m.lab, "a-"+k.name)
	}
	m.laptop = m.hosts["none"]
	m.startServer()
	m.login()
	var s session
	raw, err := os.ReadFile(m.dir + "/config/session.json")
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.token = s.Token
	for _, k := range kinds {
		token := m.create(k.name)
		m.agents[k.name] = m.start(agents[k.name], k.name+"-agent.log", "agent", "--url", m.urlFrom(k), "--token", token, "-v")
	}
	// An agent of weeks knows its network; one of milliseconds does not yet.
	for _, k := range kinds {
		nat := "nat=easy"
		switch {
		case k.hard:
			nat = "nat=hard"
		case k.blocked:
			nat = "nat=udp-blocked"
		}
		ready, known := false, false
		m.agents[k.name].waitLine("agent ready, and "+nat, func(line string) bool {
			ready = ready || strings.Contains(line, "agent ready")
			known = known || strings.Contains(line, nat)
			return ready && known
		})
	}
	return m
}

// urlFrom is where the server is reached from a place.
func (m *matrix) urlFrom(k place) string {
	ip := m.server.Addr()
	if !k.v4 {
		ip = m.server.Addr6()
	}
	return "http://" + netip.AddrPortFrom(ip, 7080).String()
}

// ping starts an endless ping from a place to the agent at another.
func (m *matrix) ping(t *testing.T, from, to place, args ...string) *program {
	t.Helper()
	d := *m.deployment
	d.t = t // the program is of this subtest
	return d.start(m.hosts[from.name], "ping.log", append([]string{"ping", to.name, "--url", m.urlFrom(from), "--token", m.token, "-o", "json", "-v"}, args...)...)
}

// meet has a new node ping an agent until both are direct.
func (m *matrix) meet(t *testing.T, from, to place, within time.Duration) trial {
	t.Helper()
	agent := m.agents[to.name]
	agent.drain()
	laptop := m.ping(t, from, to, "-i", "20ms")
	timeout := time.After(within + patience)
	var near, far end
	var firstByte time.Time
	var last pingLine
	for !near.isDirect() || !far.isDirect() || last.Path.Kind != "direct" {
		select {
		case line, ok := <-agent.lines:
			if !ok {
				t.Fatal("the agent ended")
			}
			far.note(line)
		case line, ok := <-laptop.lines:
			if !ok {
				t.Fatal("ping ended")
			}
			var ping pingLine
			if json.Unmarshal([]byte(line), &ping) != nil {
				near.note(line)
				continue
			}
			if last = ping; ping.Error == "" && firstByte.IsZero() {
				firstByte = time.Now()
			}
		case <-timeout:
			t.Fatalf("not direct %v after all was up", within)
		}
	}
	up := latest(near.known, far.known)
	got := trial{direct: max(0, latest(near.direct, far.direct).Sub(up)), firstByte: max(0, firstByte.Sub(up))}
	if got.direct > within {
		t.Errorf("direct after %v, want %v", got.direct, within)
	}
	_ = laptop.cmd.Process.Signal(os.Interrupt)
	laptop.wait()
	return got
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// end is what the log of one end tells.
type end struct {
	// known is when it learned of the other, and direct when it first sent
	// directly. The zero time is not yet.
	known, direct time.Time
}

func (e *end) isDirect() bool { return !e.known.IsZero() && !e.direct.IsZero() }

func (e *end) note(line string) {
	stamp, text, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	switch {
	case err != nil:
	case e.known.IsZero() && strings.Contains(text, "peer known"):
		e.known = at
	case e.direct.IsZero() && strings.Contains(text, "path changed") && strings.Contains(text, "mode=direct"):
		e.direct = at
	}
}

// stayRelayed has a new node ping an agent that it cannot reach directly, and
// wants to be told why.
func (m *matrix) stayRelayed(t *testing.T, from, to place, code string) {
	t.Helper()
	laptop := m.ping(t, from, to, "--until-direct", "--timeout", relayedFor.String())
	var last pingLine
	for line := range laptop.lines {
		var ping pingLine
		if json.Unmarshal([]byte(line), &ping) == nil {
			last = ping
		}
	}
	if err := laptop.wait(); err == nil {
		t.Errorf("direct by %s", last.Path.Addr)
	}
	kind := "udp-relay"
	if code == "udp-blocked" {
		kind = "derp"
	}
	if last.Error != "" || last.Path.Kind != kind || last.Verdict == nil || last.Verdict.Code != code {
		t.Errorf("after %v: %+v, verdict %+v; want an answer by %s and %s", relayedFor, last, last.Verdict, kind, code)
	}
}

// drain forgets what a program has said so far.
func (p *program) drain() {
	for {
		select {
		case _, ok := <-p.lines:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// spreadOf is the middle, the ninth tenth and the end of some durations.
type spreadOf struct {
	n             int
	p50, p90, max time.Duration
}

func spread(trials []trial, of func(trial) time.Duration) spreadOf {
	var all []time.Duration
	for _, t := range trials {
		all = append(all, of(t))
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[min(len(all)-1, int(q*float64(len(all))))] }
	return spreadOf{len(all), at(0.5), at(0.9), all[len(all)-1]}
}

func (s spreadOf) String() string {
	return fmt.Sprintf("p50 %v, p90 %v, max %v of %d", s.p50.Round(100*time.Microsecond), s.p90.Round(100*time.Microsecond), s.max.Round(100*time.Microsecond), s.n)
}

// grid writes the matrix as a table.
func grid(kinds []place, cells map[[2]string]string) string {
	var b strings.Builder
	row := func(head string, cell func(place) string) {
		fmt.Fprintf(&b, "%-16s", head)
		for _, k := range kinds {
			fmt.Fprintf(&b, "%-16s", cell(k))
		}
		b.WriteString("\n")
	}
	row("", func(k place) string { return k.name })
	for _, from := range kinds {
		row(from.name, func(to place) string { return cells[[2]string{from.name, to.name}] })
	}
	return b.String()
}
