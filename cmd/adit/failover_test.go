package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// gapMost is the longest that a typist may wait for an echo when a path fails and
// there is another: half a second feels broken, and a third does not.
const gapMost = 300 * time.Millisecond

// felt logs how a session felt since a time and wants no gap longer than most.
func (y *typist) felt(what string, from time.Time, most time.Duration) {
	y.t.Helper()
	q := y.since(from)
	y.t.Logf("%s: worst gap %v, slowest echo %v, of %d strokes", what, q.gap.Round(time.Millisecond), q.late.Round(time.Millisecond), q.strokes)
	if q.gap > most {
		y.t.Errorf("%s: a gap of %v, want %v at most", what, q.gap, most)
	}
}

// isOn waits until the session's packets go by a path that its log shows.
func (y *typist) isOn(mode, addr string) {
	y.t.Helper()
	y.session.waitLine(mode+" by "+addr, func(line string) bool {
		return strings.Contains(line, "path changed") && strings.Contains(line, "mode="+mode) && strings.Contains(line, "direct="+addr)
	})
}

// The best path falls silent and comes back, with the relay as the only other.
func TestSilenceGoesByTheRelay(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	session := d.types(d.laptop, 1)
	session.isOn("direct", d.office.Addr().String())
	session.echoes(50)

	fault := time.Now()
	heal := d.home.Fault(netlab.BlockUDP())
	session.isOn("relay", "")
	session.echoes(50)
	session.felt("direct to relay", fault, gapMost)

	healed := time.Now()
	heal()
	session.isOn("direct", d.office.Addr().String())
	session.echoes(100)
	session.felt("relay to direct", healed, gapMost)
}

// pauses is how long somebody reads before they type on: by then a path that nothing
// goes by is looked at seldom.
const pauses = 15 * time.Second

// The path falls silent while nothing is typed. The first keystroke after finds that
// out.
func TestSilenceDuringAPause(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	session := d.types(d.laptop, 1)
	session.isOn("direct", d.office.Addr().String())
	session.echoes(50)

	session.pause.Store(true)
	<-time.After(pauses)
	heal := d.home.Fault(netlab.BlockUDP())
	defer heal()
	resumed := time.Now()
	session.pause.Store(false)
	session.echoes(50)
	session.felt("a path that failed in a pause", resumed, gapMost)
}

// The best path falls silent and another direct one is there: IPv4 and IPv6.
func TestSilenceGoesByAnotherDirectPath(t *testing.T) {
	d := newDeployment(t)
	d.home, d.office = d.lab.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.up()
	session := d.types(d.laptop, 1)
	session.isOn("direct", "["+d.devbox.Addr6().String()+"]")
	session.echoes(50)

	for _, round := range []string{"first", "second"} {
		fault := time.Now()
		heal := d.home.Fault(netlab.BlockUDPWith(d.devbox.Addr6()))
		session.isOn("direct", d.office.Addr().String())
		session.echoes(150)
		session.felt("IPv6 silenced, "+round, fault, gapMost)
		healed := time.Now()
		heal()
		session.isOn("direct", "["+d.devbox.Addr6().String()+"]")
		session.echoes(100)
		session.felt("IPv6 back, "+round, healed, gapMost)
	}
}

func TestSessionsFollowTheNetwork(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	hotel := d.lab.Router("hotel", netlab.PortRestricted)
	session := d.types(d.laptop, 1)
	session.isOn("direct", d.office.Addr().String())
	session.echoes(50)
	ip := func(args ...string) {
		t.Helper()
		if _, err := d.laptop.Output(t.Context(), "ip", args...); err != nil {
			t.Fatal(err)
		}
	}

	changed := time.Now()
	ip("addr", "add", "192.168.1.77/24", "dev", "eth0")
	ip("addr", "del", d.laptop.Addr().String()+"/24", "dev", "eth0")
	ip("addr", "replace", "192.168.1.77/24", "dev", "eth0") // it may have gone with the first
	ip("route", "replace", "default", "via", "192.168.1.1")
	session.echoes(150)
	session.felt("another address", changed, gapMost)

	moved := time.Now()
	d.laptop.MoveTo(hotel)
	there := time.Now()
	session.echoes(150)
	t.Logf("the cable was out for %v", there.Sub(moved).Round(time.Millisecond))
	session.felt("another network", moved, gapMost+there.Sub(moved))

	// Nothing is typed while the process sleeps.
	session.echoes(50)
	if err := session.session.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	sleep := 30 * time.Second
	if testing.Short() {
		sleep = 5 * time.Second
	}
	<-time.After(sleep) // its length is what is tested
	woken := time.Now()
	if err := session.session.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	session.echoes(100)
	session.felt("after "+sleep.String()+" of sleep", woken, gapMost)
}
