package bench

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/netlab"
)

// Relays as such: bare clients flood them, and nothing is encrypted but what the
// relay does itself.
const (
	floodSmall1 metric = "64 B, one pair, flooded, kpps delivered"
	floodSmall4 metric = "64 B, four pairs, flooded, kpps delivered"
	floodFull1  metric = "1,280 B, one pair, flooded, kpps delivered"
	floodFull4  metric = "1,280 B, four pairs, flooded, kpps delivered"
	floodCPU    metric = "the relay's CPU per packet of 1,280 B, one pair, flooded, µs"
	fourToOne   metric = "1,280 B, flooded, four pairs to one"
	relayP50    metric = "round trip by an idle relay, p50, µs"
	relayP99    metric = "round trip by an idle relay, p99, µs"
	relayIdle   metric = "RSS of an idle client, KB"
)

const (
	// floodLasts is how long a flood counts.
	floodLasts = time.Second

	// idleClients is how many connect to measure what one costs, and settles how long
	// what their coming needed takes to be returned.
	idleClients = 1000
	settles     = 3 * time.Second
)

const (
	voucherPort  = 7082
	relayTCPPort = 8443
	relayUDPPort = 3480
)

// relayed is a relay that runs, and its clients.
type relayed struct {
	name string
	what string
	pid  int
	bare *child
	over bool // over UDP
	// cores is which part of a core it has to itself when it is to be saturated, by the
	// number of pairs; what is missing is one.
	cores map[int]float64
}

// startRelays starts stock derper and ours on hosts of a lab, and clients for each on
// another.
func startRelays(t testing.TB) []*relayed {
	t.Helper()
	lab := netlab.New(t)
	clients, theirs, ours, coordinator := lab.Host("clients"), lab.Host("derper"), lab.Host("relay"), lab.Host("coordinator")
	for _, h := range []*netlab.Host{clients, theirs, ours, coordinator} {
		h.IPv4Only()
	}
	ends := build(t, ".", "./ends")
	dir := tempDir(t)
	selfSigned(t, dir, theirs.Addr())
	derper := netip.AddrPortFrom(theirs.Addr(), relayTCPPort)
	derperPID := start(t, theirs, nil, build(t, ".", "tailscale.com/cmd/derper"), "-a", derper.String(), "-http-port", "-1", "-stun=false",
		"-certmode", "manual", "-certdir", dir, "-hostname", theirs.Addr().String(), "-c", filepath.Join(dir, "derper.json"))

	aditPID, keys := startAditRelay(t, ours, coordinator, ends)
	adit := role.Config{Relay: netip.AddrPortFrom(ours.Addr(), relayTCPPort)}
	udp := adit
	udp.UDPPort, udp.UDPKey, udp.UDPDisco = relayUDPPort, [32]byte(keys[:32]), [32]byte(keys[32:])

	all := []*relayed{
		{name: "derper", what: "stock, version 1.102.5", pid: derperPID, cores: map[int]float64{}},
		{name: "adit-derp", what: "adit relay, over DERP", pid: aditPID, cores: map[int]float64{}},
		{name: "adit-udp", what: "adit relay, over UDP", pid: aditPID, over: true, cores: map[int]float64{}},
	}
	for i, conf := range []role.Config{{Relay: derper}, adit, udp} {
		all[i].bare = startChild(t, clients, ends, "bare", conf)
		all[i].bare.ready()
	}
	return all
}

// startAditRelay starts ours on a host, and what it asks whom to let in on another. It
// returns its process, and by which keys it is asked for UDP.
func startAditRelay(t testing.TB, h, coordinator *netlab.Host, ends string) (pid int, keys []byte) {
	t.Helper()
	vouch := startChild(t, coordinator, ends, "voucher", role.Config{Listen: netip.AddrPortFrom(coordinator.Addr(), voucherPort)})
	pid = start(t, h, nil, build(t, "..", "./cmd/adit"), "relay", "--url", vouch.ready().Addr, "--token", "any", "--data-dir", tempDir(t),
		"--listen", fmt.Sprintf("%s:%d", h.Addr(), relayTCPPort), "--udp-relay-port", fmt.Sprint(relayUDPPort), "--turn=false", "--drain", "0")
	joined := vouch.ready()
	keys, err := hex.DecodeString(joined.ID)
	if err != nil || len(keys) != 64 {
		t.Fatalf("the relay said %q of itself", joined.ID)
	}
	if u, err := url.Parse(joined.Addr); err != nil || u.Hostname() != h.Addr().String() {
		t.Fatalf("the relay is at %q", joined.Addr)
	}
	return pid, keys
}

// measure takes all measurements of a relay, or those of which want knows the name, the
// gentle ones first. What a client costs shows in a process alone that had none before.
func (r *relayed) measure(t testing.TB, fresh bool, want func(name string) bool) sample {
	s := sample{}
	if want("roundtrip") {
		idle := seconds(r.bare.ask(role.Request{Do: "ping", Count: idlePings, Interval: idleInterval}).RTTs)
		s[relayP50], s[relayP99] = quantile(idle, 0.5)*1e6, quantile(idle, 0.99)*1e6
	}
	if want("idle") && fresh && !r.over {
		s[relayIdle] = r.perClient(t)
	}
	if want("flood") {
		s[floodSmall1], _ = r.flood(t, 64, 1)
		s[floodSmall4], _ = r.flood(t, 64, 4)
		s[floodFull1], s[floodCPU] = r.flood(t, 1280, 1)
		s[floodFull4], _ = r.flood(t, 1280, 4)
		s[fourToOne] = s[floodFull4] / s[floodFull1]
	}
	if want("saturate") {
		r.saturated(t, s)
	}
	return s
}

func seconds(all []time.Duration) (s []float64) {
	for _, d := range all {
		s = append(s, d.Seconds())
	}
	return s
}

// flood has pairs send all they can, and returns how many thousand packets a second
// arrive, and how many microseconds of its CPU each costs the relay.
func (r *relayed) flood(t testing.TB, size, pairs int) (kpps, cpu float64) {
	before := cpuOf(t, r.pid)
	got := r.bare.ask(role.Request{Do: "flood", Size: size, Streams: pairs, Lasts: floodLasts})
	used := cpuOf(t, r.pid) - before
	kpps = float64(got.Packets) / got.Seconds / 1e3
	// It was flooded before it counted, too.
	return kpps, used / (got.Seconds + floodWarm.Seconds()) / kpps * 1e3
}

// As bench/ends has it: how long the clients flood before they count, and how much
// they write at once, in KiB.
const (
	floodWarm  = 300 * time.Millisecond
	floodBatch = 60
)

// perClient is how much memory a client costs that is connected and silent, in KB.
func (r *relayed) perClient(t testing.TB) float64 {
	before := residentOf(t, r.pid, "VmRSS")
	r.bare.ask(role.Request{Do: "idle", Count: idleClients})
	<-time.After(settles)
	with := residentOf(t, r.pid, "VmRSS")
	r.bare.ask(role.Request{Do: "idle"})
	return (with - before) * 1e3 / idleClients
}
