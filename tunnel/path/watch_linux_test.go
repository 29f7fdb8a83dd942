package path

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// watched is a host whose network is watched.
type watched struct {
	*netlab.Host
	t       *testing.T
	changes chan string
}

func watch(t *testing.T) *watched {
	t.Helper()
	lab := netlab.New(t)
	w := &watched{Host: lab.Router("home", netlab.PortRestricted).Host("laptop"), t: t, changes: make(chan string, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan error, 1), make(chan error, 1)
	go func() {
		done <- w.Do(func() error {
			events, err := openNetworkEvents()
			ready <- err
			if err == nil {
				none := func(netip.Addr) bool { return false }
				watchNetwork(ctx, events, none, func(why string) { w.changes <- why })
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	w.quiet() // what the lab itself did is over
	return w
}

func (w *watched) ip(args ...string) {
	w.t.Helper()
	if _, err := w.Output(w.t.Context(), "ip", args...); err != nil {
		w.t.Fatal(err)
	}
}

// changed waits for a change.
func (w *watched) changed(what string) {
	w.t.Helper()
	start := time.Now()
	select {
	case why := <-w.changes:
		w.t.Logf("%s: noticed as %q after %v", what, why, time.Since(start).Round(time.Millisecond/10))
	case <-time.After(patience):
		w.t.Errorf("%s was not noticed", what)
	}
}

// quiet waits until nothing has changed for a while, and returns how often it
// did.
func (w *watched) quiet() (n int) {
	for {
		select {
		case <-w.changes:
			n++
		case <-time.After(2 * (settleFor + changesEvery)):
			return n
		}
	}
}

func TestChangesOfTheNetworkAreNoticed(t *testing.T) {
	w := watch(t)
	w.ip("addr", "add", "192.168.1.77/24", "dev", "eth0")
	w.changed("a new address")
	w.ip("addr", "del", "192.168.1.77/24", "dev", "eth0")
	w.changed("an address gone")
	w.ip("route", "replace", "default", "via", "192.168.1.99")
	w.changed("another router")
	w.ip("link", "set", "eth0", "down")
	w.changed("a link that is down")
	w.ip("link", "set", "eth0", "up")
	w.changed("a link that is up")
}

// Routers renew the lifetime of IPv6 addresses every few minutes or seconds.
func TestRenewedLifetimesAreNoChange(t *testing.T) {
	w := watch(t)
	w.ip("addr", "change", "192.168.1.10/24", "dev", "eth0", "valid_lft", "1000", "preferred_lft", "1000")
	w.ip("link", "set", "eth0", "alias", "uplink")
	if n := w.quiet(); n > 0 {
		t.Errorf("%d changes", n)
	}
}

// A developer's machine starts containers all day.
func TestAContainerIsNoChange(t *testing.T) {
	w := watch(t)
	w.ip("link", "add", "br0", "type", "bridge")
	w.ip("link", "set", "br0", "up")
	w.ip("link", "add", "container", "type", "veth", "peer", "name", "inside")
	w.ip("link", "set", "container", "master", "br0")
	w.ip("link", "set", "container", "up")
	w.ip("link", "set", "inside", "up")
	w.ip("link", "del", "container")
	if n := w.quiet(); n > 0 {
		t.Errorf("%d changes", n)
	}
}

func TestAFlappingInterfaceCostsLittle(t *testing.T) {
	w := watch(t)
	const flaps = 200
	start := time.Now()
	for i := range flaps {
		w.ip("addr", []string{"add", "del"}[i%2], "192.168.1.77/24", "dev", "eth0")
	}
	took := time.Since(start)
	n, most := w.quiet(), changesAtOnce+int(took/changesEvery)+2
	t.Logf("%d changes in %v were acted on %d times", flaps, took.Round(time.Millisecond), n)
	if n == 0 || n > most {
		t.Errorf("acted %d times, want 1 to %d", n, most)
	}
}
