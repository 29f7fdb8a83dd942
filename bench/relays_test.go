package bench

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
)

// TestRelays measures derper and the two ways of our relay once a round, by clients
// that have no tunnel. BENCH_ROUNDS says how many rounds, BENCH_ONLY which of them
// alone, BENCH_MEASURE what of them (roundtrip, idle, flood, saturate; by commas), and
// BENCH_REPORT where the report is written.
func TestRelays(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS"))
	if err != nil {
		t.Skip("run by make bench-relays")
	}
	only, measured := list(os.Getenv("BENCH_ONLY")), list(os.Getenv("BENCH_MEASURE"))
	all := startRelays(t)
	got := results{}
	for round := range rounds {
		for _, r := range all {
			if !only(r.name) {
				continue
			}
			t.Run(fmt.Sprintf("round %d/%s", round+1, r.name), func(t *testing.T) { got.add(r.name, r.measure(t, round == 0, measured)) })
		}
		fmt.Printf("\nround %d of %d\n%s\n", round+1, rounds, got.summary())
		if file := os.Getenv("BENCH_REPORT"); file != "" {
			if err := os.WriteFile(file, []byte(got.relayReport(round+1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// list reports whether a list has a name; that of none has all.
func list(names string) func(name string) bool {
	all := strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
	return func(name string) bool { return len(all) == 0 || slices.Contains(all, name) }
}

// Stock tailscaled takes our relay for its own: two of them that have no other way
// reach each other by it.
func TestTailscaledUsesOurRelay(t *testing.T) {
	if os.Getenv("BENCH_ROUNDS") == "" {
		t.Skip("run by make bench-relays")
	}
	l := &lab{Lab: netlab.New(t), ends: build(t, ".", "./ends")}
	relay, coordinator := l.Host("relay"), l.Host("coordinator")
	l.right = l.Host("right")
	l.router = l.Router("router", netlab.NoNAT)
	l.left = l.router.Host("left")
	for _, h := range []*netlab.Host{relay, coordinator, l.left, l.right} {
		h.IPv4Only()
	}
	startAditRelay(t, relay, coordinator, l.ends)
	l.startControl(t, coordinator, netip.AddrPortFrom(relay.Addr(), relayTCPPort))
	p := tailPair{blocked: true}.start(t, l)
	idle := roundTrips(t, p, idlePings, idleInterval)
	one := streams(t, p, 1)
	p.check(t)
	t.Logf("round trip p50 %.0f µs of %d, TCP %.2f Gbit/s", median(idle)*1e6, len(idle), one.gbits())
	if len(idle) < idlePings*99/100 {
		t.Errorf("%d of %d echoes came back", len(idle), idlePings)
	}
}
