package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestTwoRelaysAreAskedBeforeTwoPortsOfOne(t *testing.T) {
	a := Relay{URL: "https://a.example", STUNPorts: []uint16{3478, 3479}}
	b := Relay{URL: "https://b.example:8443", STUNPorts: []uint16{3478}}
	c := Relay{URL: "https://c.example", STUNPorts: []uint16{3478}}
	bad, deaf := Relay{URL: "::", STUNPorts: []uint16{1}}, Relay{URL: "https://d.example"}
	for name, tt := range map[string]struct {
		relays []Relay
		want   []stunServer
	}{
		"one relay":    {[]Relay{a}, []stunServer{{"a.example", 3478}, {"a.example", 3479}}},
		"two relays":   {[]Relay{a, b}, []stunServer{{"a.example", 3478}, {"b.example", 3478}}},
		"three relays": {[]Relay{a, b, c}, []stunServer{{"a.example", 3478}, {"b.example", 3478}}},
		"one answers":  {[]Relay{bad, deaf, c}, []stunServer{{"c.example", 3478}}},
		"none":         {nil, nil},
	} {
		if got := stunServers(Region{ID: 1, Relays: tt.relays}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A relay in the same building sees a private address, one outside the NAT's.
// And with IPv6 the address depends on the destination, without any NAT.
func TestOwnAddressesDoNotMakeANATHard(t *testing.T) {
	parse := netip.MustParseAddrPort
	lan, v6, temporary := parse("192.168.1.10:5000"), parse("[2001:db8::10]:5001"), parse("[2001:db8::77]:5001")
	outside, other := parse("198.51.100.1:1000"), parse("198.51.100.1:2000")
	for name, tt := range map[string]struct {
		seen []netip.AddrPort
		want NAT
	}{
		"LAN and outside":             {[]netip.AddrPort{lan, outside}, NATEasy},
		"two IPv6 addresses":          {[]netip.AddrPort{v6, temporary}, NATEasy},
		"LAN and two ports outside":   {[]netip.AddrPort{lan, outside, other}, NATHard},
		"IPv6 addresses of nobody":    {[]netip.AddrPort{parse("[2001:db8::1]:1"), parse("[2001:db8::1]:2")}, NATHard},
		"all the same, and its own":   {[]netip.AddrPort{lan, lan}, NATEasy},
		"all the same, and a mapping": {[]netip.AddrPort{outside, outside}, NATEasy},
	} {
		f := findings{asked: len(tt.seen), locals: []netip.AddrPort{lan, v6, temporary}}
		for i, at := range tt.seen {
			server := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), uint16(i+1))
			f.add(stunAnswer{stunRequest{region: 1, server: server}, time.Millisecond, at})
		}
		if got := f.self(true).NAT; got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// newProberAlone is a prober of a node without sockets.
func newProberAlone(t *testing.T) *prober {
	t.Helper()
	b, err := New(Config{PrivateKey: [32]byte{1}, Options: Options{NoPortMapping: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return newProber(b)
}

func TestWhereAPeerSawUsIsAnnouncedForAWhile(t *testing.T) {
	p := newProberAlone(t)
	at := netip.MustParseAddrPort("198.51.100.1:1000")
	p.seenAs(netip.MustParseAddrPort("[::ffff:198.51.100.1]:1000"))
	p.seenAs(netip.MustParseAddrPort("127.0.0.1:1000"))
	if got := p.endpoints(); !slices.Equal(got, []netip.AddrPort{at}) {
		t.Errorf("announced %v, want %v", got, at)
	}
	if got := p.recentlyObserved(time.Now().Add(observedFor - time.Second)); !slices.Equal(got, []netip.AddrPort{at}) {
		t.Errorf("remembered %v, want %v", got, at)
	}
	if got := p.recentlyObserved(time.Now().Add(observedFor)); len(got) > 0 {
		t.Errorf("remembered %v for too long", got)
	}
	p.self.NAT = NATHard
	p.seenAs(netip.MustParseAddrPort("198.51.100.1:2000"))
	if got := p.endpoints(); len(got) != 1 {
		t.Errorf("announced %v, which is for one peer alone", got)
	}
}

func TestAMappedPortIsAnnouncedRightAfterOwnAddresses(t *testing.T) {
	p := newProberAlone(t)
	parse := netip.MustParseAddrPort
	lan, stun, mapped, moved := parse("192.168.1.10:5000"), parse("198.51.100.1:1000"), parse("198.51.100.1:7"), parse("198.51.100.1:8")
	found := &findings{asked: 1, locals: []netip.AddrPort{lan}}
	found.add(stunAnswer{stunRequest{region: 1, server: parse("203.0.113.9:1")}, time.Millisecond, stun})
	want := func(want ...netip.AddrPort) {
		t.Helper()
		if got := p.endpoints(); !slices.Equal(got, want) {
			t.Errorf("announced %v, want %v", got, want)
		}
	}
	p.publish(found, true)
	want(lan, stun)
	p.portMapped(PortMapping{UPnP: true, External: mapped})
	want(lan, mapped, stun)
	p.publish(found, true)
	want(lan, mapped, stun)
	p.portMapped(PortMapping{UPnP: true, External: moved})
	want(lan, moved, stun)
	p.portMapped(PortMapping{})
	want(lan, stun)
}
