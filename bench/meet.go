package bench

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/netlab"
)

// Times to the first byte and to a direct path, after both ends are up, worse of
// the two, in milliseconds. A meeting that never becomes direct counts as
// infinite.
const (
	firstByte  metric = "first byte, no NAT, ms"
	directOpen metric = "direct, no NAT, ms"
	directEasy metric = "direct, port-restricted × port-restricted, ms"
	directHard metric = "direct, hard × port-restricted, ms"
)

const (
	// meetingsARound is how many meetings of each kind there are: they are quick,
	// and their tail matters.
	meetingsARound = 4

	// meetWithin is how long one may take.
	meetWithin = 12 * time.Second

	// askEvery is how often tailscaled is asked for its path: often enough to
	// tell milliseconds, and no burden.
	askEvery = 3 * time.Millisecond
)

// meeting is what came of one.
type meeting struct{ firstByte, direct time.Duration }

// never is a time that did not come.
const never = time.Duration(math.MaxInt64)

func milliseconds(d time.Duration) float64 {
	if d == never {
		return math.Inf(1)
	}
	return float64(d) / 1e6
}

// meetAll has both ends meet through each kind of NAT, each time anew.
func meetAll(t *testing.T, l *lab, meet func(testing.TB, *lab, [2]*netlab.Host) meeting) []sample {
	var all []sample
	for _, kind := range []struct {
		hosts  [2]*netlab.Host
		direct metric
	}{
		{l.near(), directOpen},
		{[2]*netlab.Host{l.laptop, l.devbox}, directEasy},
		{[2]*netlab.Host{l.traveller, l.devbox}, directHard},
	} {
		for range meetingsARound {
			var m meeting
			if !t.Run(string(kind.direct), func(t *testing.T) { m = meet(t, l, kind.hosts) }) {
				break
			}
			s := sample{kind.direct: milliseconds(m.direct)}
			if kind.direct == directOpen {
				s[firstByte] = milliseconds(m.firstByte)
			}
			all = append(all, s)
			if m.direct == never {
				break // once is long enough
			}
		}
	}
	return all
}

// meetAdit has a new node meet an agent that knows its network. That both know of
// each other is what "up" means.
func meetAdit(t testing.TB, l *lab, hosts [2]*netlab.Host) meeting {
	conf := role.Config{URL: l.server.url, RootCA: l.server.rootCA, Events: true}
	conf.Token = l.server.workspace(t)
	agent := startChild(t, hosts[1], l.ends, "adit", conf)
	far := &diary{child: agent}
	far.read(t, "the agent's network", func() bool { return far.id != "" && far.network })

	conf.Token, conf.Peer = l.server.token, far.id
	near := &diary{child: startChild(t, hosts[0], l.ends, "adit", conf)}

	both := make(chan bool, 2)
	for _, d := range []*diary{near, far} {
		go func() { both <- d.readUntil(meetWithin) }()
	}
	<-both
	<-both
	if near.at["known"].IsZero() || far.at["known"].IsZero() || near.at["echo"].IsZero() {
		t.Fatalf("no meeting within %v: %v, %v", meetWithin, near.at, far.at)
	}
	up := later(near.at["known"], far.at["known"])
	m := meeting{firstByte: max(0, near.at["echo"].Sub(up)), direct: never}
	if !near.at["direct"].IsZero() && !far.at["direct"].IsZero() {
		m.direct = max(0, later(near.at["direct"], far.at["direct"]).Sub(up))
	}
	return m
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// diary is what a node of ours tells of itself.
type diary struct {
	child   *child
	id      string
	network bool // known
	at      map[string]time.Time
}

// next reads one entry. Only the first of each kind counts.
func (d *diary) next() error {
	var line struct {
		role.Ready
		role.Event
	}
	if err := d.child.out.Decode(&line); err != nil {
		return err
	}
	if line.ID != "" {
		d.id = line.ID
	}
	if nat, ok := strings.CutPrefix(line.What, "nat "); ok && nat != "" && nat != "unknown" {
		d.network = true
	}
	if d.at == nil {
		d.at = map[string]time.Time{}
	}
	if line.What != "" && d.at[line.What].IsZero() {
		d.at[line.What] = line.At
	}
	return nil
}

func (d *diary) read(t testing.TB, what string, is func() bool) {
	t.Helper()
	timeout := time.AfterFunc(patience, d.end)
	defer timeout.Stop()
	for !is() {
		if err := d.next(); err != nil {
			t.Fatalf("%s: waiting for %s: %v", d.child.name, what, err)
		}
	}
}

// readUntil reads until the path is direct, and echoes come back at the end that
// sends them, or the time is over.
func (d *diary) readUntil(within time.Duration) bool {
	timeout := time.AfterFunc(within, d.end)
	defer timeout.Stop()
	sends := d.id == ""
	for d.at["direct"].IsZero() || sends && d.at["echo"].IsZero() {
		if d.next() != nil {
			return false
		}
	}
	return true
}

// end ends the node, and with it whoever waits for its next entry.
func (d *diary) end() { d.child.kill() }

// meetTailscale has two tailscaled meet that are up, have a relay and are in each
// other's map; they begin at the first packet.
func meetTailscale(t testing.TB, l *lab, hosts [2]*netlab.Host) meeting {
	both := startDaemons(t, l, hosts)
	send, receive := kernelEnd(t, l, hosts[0]), kernelEnd(t, l, hosts[1])
	_ = receive // it answers
	far := both[1].addr

	began := time.Now()
	echoed, over := make(chan time.Duration, 1), make(chan struct{})
	go func() {
		defer close(echoed)
		for first := true; time.Since(began) < meetWithin; {
			select {
			case <-over:
				return
			default:
			}
			got := send.traffic.ask(role.Request{Do: "echo", To: far, Count: 1, Interval: 20 * time.Millisecond})
			if len(got.RTTs) > 0 && first {
				echoed <- time.Since(began)
				first = false
			}
		}
	}()
	direct := never
	for time.Since(began) < meetWithin {
		if both[0].path(far) == "direct" && both[1].path(both[0].addr) == "direct" {
			direct = time.Since(began)
			break
		}
		<-time.After(askEvery)
	}
	close(over)
	m := meeting{firstByte: never, direct: direct}
	if d, ok := <-echoed; ok {
		m.firstByte = d
	}
	for range echoed { // until the sender has ended
	}
	return m
}
