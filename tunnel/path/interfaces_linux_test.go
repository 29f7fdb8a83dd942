package path

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// A developer's laptop: one cable, and much that only looks like one.
func TestOnlyAddressesThatAPeerMightReachAreCandidates(t *testing.T) {
	laptop := netlab.New(t).Router("home", netlab.PortRestricted).Host("laptop")
	for _, args := range [][]string{
		{"addr", "add", "203.0.113.9/24", "dev", "eth0"},
		{"addr", "add", "100.64.7.9/24", "dev", "eth0"},
		{"addr", "add", "fd00:7::9/64", "dev", "eth0", "nodad"},
		// A privacy address of yesterday.
		{"addr", "add", "2001:db8:1:1::dead/64", "dev", "eth0", "nodad", "preferred_lft", "0"},
		// A bridge that nothing is on any more.
		{"link", "add", "docker0", "type", "bridge"}, {"link", "set", "docker0", "up"},
		{"addr", "add", "172.17.0.1/16", "dev", "docker0"},
		{"link", "add", "container", "type", "veth", "peer", "name", "inside"},
		{"link", "set", "container", "master", "docker0"},
		{"link", "set", "inside", "up"}, {"link", "set", "container", "up"}, {"link", "del", "container"},
		// Other tunnels, one that says so and one that has only a name.
		{"tuntap", "add", "mode", "tun", "name", "corp"}, {"link", "set", "corp", "up"},
		{"addr", "add", "10.8.0.2/24", "dev", "corp"},
		{"link", "add", "zt7nnig34", "type", "veth", "peer", "name", "far"},
		{"link", "set", "zt7nnig34", "up"}, {"link", "set", "far", "up"},
		{"addr", "add", "10.147.17.2/24", "dev", "zt7nnig34"},
		// An interface that is down.
		{"link", "add", "wifi", "type", "veth", "peer", "name", "air"}, {"addr", "add", "10.9.0.2/24", "dev", "wifi"},
	} {
		if _, err := laptop.Output(t.Context(), "ip", args...); err != nil {
			t.Fatal(err)
		}
	}
	// The kernel takes up to a second to see that a cable is out.
	become := func(what string, want ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
			got = nil
			if err := laptop.Do(func() error {
				addrs, err := localAddrs(func(netip.Addr) bool { return false })
				for _, ip := range reachable(addrs) {
					got = append(got, ip.String())
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if slices.Equal(got, want) {
				return
			}
		}
		t.Errorf("%s, candidates are %v, want %v", what, got, want)
	}
	become("with a cable", "192.168.1.10", "fd00:7::9", "203.0.113.9", "2001:db8:1:1::a", "100.64.7.9")
	laptop.Unplug()
	become("without one", "127.0.0.1", "::1")
}

func TestTunnelsAreKnownByName(t *testing.T) {
	for name, want := range map[string]bool{
		"tailscale0": true, "wg0": true, "wg-home": true, "tun1": true, "utun4": true, "ztabcdefgh": true, "Tailscale": true,
		"eth0": false, "wlan0": false, "wgs": false, "tunl0": false, "en0": false, "br-0f3": false, "Ethernet 2": false,
	} {
		if got := isTunnel(net.Interface{Name: name}); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
