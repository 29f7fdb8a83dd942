package main

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// kills is how often the relay is killed that traffic goes by, and killMost what
	// half of them may cost.
	kills    = 10
	killMost = 2 * time.Second

	// probeEvery is how often an echo is sent, whether the last came back or not.
	probeEvery = 20 * time.Millisecond
)

// probeTime is when an echo came back.
var probeTime = regexp.MustCompile(`^\[([0-9.]+)\] .*icmp_seq=`)

// Of two regions the one that traffic goes by is killed, again and again. Each time
// echoes come back by the other.
func TestTrafficGoesOnAfterItsRelayIsKilled(t *testing.T) {
	d := newDeployment(t, "--relay=false")
	d.home, d.office = d.lab.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	d.startServer()
	d.login()
	hosts := map[string]*netlab.Host{"eu": d.lab.Host("frankfurt"), "asia": d.lab.Host("tokyo")}
	tokens, running := map[string]string{}, map[string]*program{}
	for region, host := range hosts {
		var made sdk.CreatedRelay
		d.json(&made, "relays", "create", "r-"+region, "--region", region, "-o", "json")
		tokens[region] = made.Token
		running[region] = d.runRelay(host, "r-"+region, made.Token)
	}
	d.home.Fault(netlab.BlockUDP())
	d.agentToken = d.create("dev")
	d.startAgent()
	v := vpnOf(t, d)
	v.start()
	d.eventually("the workspace is known", func() bool { return len(v.status().Peers) == 1 })
	addr := v.status().Peers[0].Addresses[0].String()
	probe := d.run(d.laptop, "echoes.log", d.program(d.laptop, "ping", "-n", "-D", "-i", strconv.FormatFloat(probeEvery.Seconds(), 'f', -1, 64), addr))
	echo := func(after time.Time) (at time.Time) {
		probe.waitLine("an echo", func(line string) bool {
			m := probeTime.FindStringSubmatch(line)
			if m == nil {
				return false
			}
			seconds, err := strconv.ParseFloat(m[1], 64)
			at = time.UnixMicro(int64(seconds * 1e6))
			return err == nil && at.After(after)
		})
		return at
	}
	var took []time.Duration
	for range kills {
		d.eventually("both relays are in the map", func() bool { return len(d.relays()) == len(hosts) })
		region := v.status().Peers[0].Path.Region
		if running[region] == nil {
			t.Fatalf("traffic goes by %q", region)
		}
		last := echo(time.Now())
		running[region].kill()
		killed := time.Now()
		// What was under way still comes; then there is a pause, which ends.
		var pause, ended time.Duration
		for last.Sub(killed) < killMost+time.Second {
			next := echo(last)
			if next.Sub(last) > pause {
				pause, ended = next.Sub(last), next.Sub(killed)
			}
			last = next
		}
		took = append(took, ended)
		t.Logf("by %s, killed: echoes come again after %v", region, took[len(took)-1].Round(time.Millisecond))
		running[region] = d.runRelay(hosts[region], "r-"+region, tokens[region])
	}
	slices.Sort(took)
	t.Logf("of %d kills: p50 %v, most %v", kills, took[kills/2].Round(time.Millisecond), took[kills-1].Round(time.Millisecond))
	if took[kills/2] > killMost {
		t.Errorf("half of the kills cost more than %v", killMost)
	}
}
