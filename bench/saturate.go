package bench

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
)

// What a relay does with more than it can, by one pair and by four.
const (
	peakFull1 metric = "1,280 B, one pair, peak, kpps delivered"
	peakFull4 metric = "1,280 B, four pairs, peak, kpps delivered"
	loadFull1 metric = "1,280 B, one pair, load that saturates, kpps"
	loadFull4 metric = "1,280 B, four pairs, load that saturates, kpps"
	overload1 metric = "1,280 B, one pair, at 3 × that load, to its peak"
	overload4 metric = "1,280 B, four pairs, at 3 × that load, to its peak"
	offered1  metric = "1,280 B, one pair, sent for 3 × that load, × the load"
	offered4  metric = "1,280 B, four pairs, sent for 3 × that load, × the load"
	missed1   metric = "1,280 B, one pair, lost then for want of room at receivers, %"
	missed4   metric = "1,280 B, four pairs, lost then for want of room at receivers, %"
	cores1    metric = "1,280 B, one pair, cores that the relay had for all that"
	cores4    metric = "1,280 B, four pairs, cores that the relay had for all that"
	made1     metric = "1,280 B, one pair, the most that was ever sent, kpps"
	made4     metric = "1,280 B, four pairs, the most that was ever sent, kpps"
)

// overloaded is how many times the load that saturates is too much.
const overloaded = 3

const (
	// rateTried is how long each rate of the search for the one that saturates lasts.
	rateTried = 500 * time.Millisecond

	// The search begins where nobody is saturated; over UDP, at a part of what can be
	// sent.
	saturationFrom, saturationStep, saturationMost = 12_500, 1.5, 30_000_000
	saturatesAbove                                 = 30

	// delivers is which share of what is sent arrives while a relay is not saturated,
	// and of what is due is sent while clients are not.
	delivers = 0.9

	// coresLeast is the smallest part of a core that a relay is given.
	coresLeast = 1.0 / 8
)

// saturation is what a relay does with more than it can, in packets a second.
type saturation struct {
	load    float64 // the least that was too much
	peak    float64 // the most that ever arrived
	over    float64 // what arrived at three times the load
	offered float64 // what was sent then
	made    float64 // the most that was ever sent
	missed  float64 // which part of what came to the receivers' sockets then had no room
	cores   float64 // that the relay had
}

// saturated saturates a relay by one pair and by four. What it does at three times the
// load is no number if the clients cannot make that.
func (r *relayed) saturated(t testing.TB, s sample) {
	for _, by := range []struct {
		pairs                                          int
		load, peak, over, offered, cores, missed, made metric
	}{
		{1, loadFull1, peakFull1, overload1, offered1, cores1, missed1, made1},
		{4, loadFull4, peakFull4, overload4, offered4, cores4, missed4, made4},
	} {
		got, ok := r.saturate(t, 1280, by.pairs)
		s[by.made], s[by.over] = got.made/1e3, math.NaN()
		if ok {
			s[by.load], s[by.peak], s[by.over], s[by.offered] = got.load/1e3, got.peak/1e3, got.over/got.peak, got.offered/got.load
			s[by.cores], s[by.missed] = got.cores, 100*got.missed
		}
	}
}

// saturate raises the rate at which pairs send until a tenth of it does not arrive, and
// then triples it. Meanwhile the relay has half of the cores to itself: its clients, of
// whom more is wanted each time, would have taken its time, too. A relay over UDP that
// takes more than a third of what the other half can send is given a half, a quarter and
// so on of one core, until it does not.
//
// TCP holds senders back: over it, as much is sent as the relay takes.
func (r *relayed) saturate(t testing.TB, size, pairs int) (saturation, bool) {
	n := runtime.NumCPU()
	keepTo(t, r.bare.pid, cores(0, max(1, n/2))...)
	keepTo(t, r.pid, cores(n/2, n)...)
	defer keepTo(t, r.bare.pid, cores(0, n)...)
	defer keepTo(t, r.pid, cores(0, n)...)
	if r.cores[pairs] == 0 {
		r.cores[pairs] = float64(n - n/2)
	}
	for made := 0.0; ; r.cores[pairs] = min(1, r.cores[pairs]) / 2 {
		s, ok := r.search(t, size, pairs, r.cores[pairs])
		made = max(made, s.made)
		s.made = made
		if ok || !r.over || r.cores[pairs] <= coresLeast {
			return s, ok
		}
	}
}

// search saturates a relay that has so many cores, and reports whether the clients could.
func (r *relayed) search(t testing.TB, size, pairs int, has float64) (s saturation, ok bool) {
	if has < 1 {
		end, err := limitCPU(r.pid, has)
		if err != nil {
			t.Logf("it keeps a whole core: %v", err)
			return s, false
		}
		defer func() {
			if err := end(); err != nil {
				t.Errorf("give a relay its core back: %v", err)
			}
		}()
	}
	s.cores = has
	at := func(rate float64) (sent, arrived float64) {
		got := r.bare.ask(role.Request{Do: "flood", Size: size, Streams: pairs, Rate: int(rate), Lasts: rateTried})
		sent, arrived = float64(got.Sent)/got.Seconds, float64(got.Packets)/got.Seconds
		s.made = max(s.made, sent)
		t.Logf("%s, %d pairs, %.3g cores: of %.0f kpps %.0f were sent and %.0f arrived", r.name, pairs, has, rate/1e3, sent/1e3, arrived/1e3)
		return sent, arrived
	}
	from := float64(saturationFrom)
	if r.over {
		sent, arrived := at(0)
		if sent < overloaded*arrived {
			return s, false
		}
		from = sent / saturatesAbove
	}
	for rate := from; s.load == 0; rate *= saturationStep {
		sent, arrived := at(rate)
		if arrived < delivers*rate { // or something else had the machine
			again, more := at(rate)
			sent, arrived = max(sent, again), max(arrived, more)
		}
		s.peak = max(s.peak, arrived)
		switch {
		case r.over && sent < delivers*rate, rate > saturationMost:
			return s, false
		case arrived < delivers*rate:
			s.load = rate
		}
	}
	came, missed := receivedIn(t, r.bare.pid)
	var offered, over []float64
	for range 3 {
		sent, arrived := at(overloaded * s.load)
		offered, over = append(offered, sent), append(over, arrived)
	}
	s.offered, s.over = median(offered), median(over)
	s.peak = max(s.peak, s.over)
	if c, m := receivedIn(t, r.bare.pid); m > missed {
		s.missed = (m - missed) / (c - came + m - missed)
	}
	return s, !r.over || s.offered >= delivers*overloaded*s.load
}

// receivedIn is how many datagrams, joined or not, came to the sockets of a process's
// network namespace since there is one, and how many had no room there.
func receivedIn(t testing.TB, pid int) (taken, missed float64) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", pid))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names[:min(len(names), len(fields))] {
			n, _ := strconv.ParseFloat(fields[i], 64) // the first is none
			switch name {
			case "InDatagrams":
				taken = n
			case "RcvbufErrors":
				missed = n
			}
		}
	}
	if names == nil {
		t.Fatal("the kernel does not count UDP")
	}
	return taken, missed
}
