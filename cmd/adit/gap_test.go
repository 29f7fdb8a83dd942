package main

import (
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// afterGap is how long what was typed without a network may take once there is one
// again: to be asked for, found, and echoed.
const afterGap = 600 * time.Millisecond

// A network that is gone for a while, as where a train passes a tunnel, for somebody who types
// one key in it: that comes back as soon as there is a way, not when a timer ends.
func TestWhatIsTypedInAGapComesRightAfter(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	session := d.types(d.laptop, 1)
	session.isOn("direct", d.office.Addr().String())
	session.echoes(50)
	for _, gap := range []time.Duration{1200 * time.Millisecond, 5 * time.Second} {
		heal := d.home.Fault(netlab.OnlyTCP())
		<-time.After(100 * time.Millisecond) // somebody types on, and sees nothing
		session.pause.Store(true)
		<-time.After(gap) // without a network
		healed := time.Now()
		heal()
		session.echoes(1)
		took := time.Since(healed)
		t.Logf("after %v without a network, an echo came after %v", gap, took.Round(time.Millisecond))
		if took > afterGap {
			t.Errorf("want it within %v", afterGap)
		}
		session.pause.Store(false)
		session.echoes(100)
	}
}
