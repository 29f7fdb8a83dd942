package main

import (
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// WireGuard would begin anew after 5 s, and somebody waits: a ping for 2 s.
func TestLostHandshakeMessagesCostNoSeconds(t *testing.T) {
	d := newDeployment(t, "--relay=false") // no copy takes another way
	d.laptop, d.devbox = d.lab.Host("laptop"), d.lab.Host("devbox")
	d.startServer()
	d.login()
	d.agentToken = d.create("dev")
	d.startAgent()
	d.laptop.Fault(netlab.LoseHandshakes(1, 1))
	began := time.Now()
	if out, err := d.output(d.laptop, d.command(d.laptop, "ping", "dev", "-c", "1")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("answered after %v", time.Since(began).Round(time.Millisecond))
}
