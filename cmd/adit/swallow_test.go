package main

import (
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

const (
	// noticedWithin is how soon the loss of data on a path that answers pings
	// must be noticed.
	noticedWithin = 5 * time.Second

	// shunnedFor is a little more than how long a path that has swallowed data
	// is left alone the first time.
	shunnedFor = 40 * time.Second
)

// A middlebox lets pings pass and swallows the tunnel's packets, all or the large
// ones. The two wait for the healed path at the same time.
func TestAPathThatSwallowsDataIsRoutedAround(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	for _, tt := range []struct {
		name  string
		fault netlab.Fault
		size  int // of what is sent, 50 times a second
		code  string
	}{
		{"a firewall that knows WireGuard", netlab.DropWireGuard(), 1, "data-blocked"},
		{"a middlebox that drops what is large", netlab.DropLargeUDP(600), 4000, "mtu"},
	} {
		place := d.lab.Router(string(tt.code[0])+"-router", netlab.PortRestricted)
		laptop := place.Host(string(tt.code[0]) + "-laptop")
		laptop.IPv4Only()
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := d.in(t)
			session := d.types(laptop, tt.size)
			session.session.waitFor("mode=direct")
			session.echoes(50)

			heal := place.Fault(tt.fault)
			fault := time.Now()
			session.session.waitFor("mode=relay")
			noticed := time.Since(fault)
			session.echoes(100)
			felt := session.since(fault)

			healed := time.Now()
			heal()
			session.session.waitFor("mode=direct")
			t.Logf("routed around after %v, worst gap %v, slowest echo %v; direct again %v after it healed",
				noticed.Round(time.Millisecond), felt.gap.Round(time.Millisecond), felt.late.Round(time.Millisecond), time.Since(healed).Round(100*time.Millisecond))
			if noticed > noticedWithin || felt.gap > noticedWithin {
				t.Errorf("want both within %v", noticedWithin)
			}
			if took := time.Since(healed); took > shunnedFor {
				t.Errorf("direct again after %v", took)
			}
			session.echoes(50)
		})
	}
}
