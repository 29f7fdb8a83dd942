package hostnet

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Whatever a resolver's configuration says, it is what it was once our block is out
// of it again; also when somebody has added to it meanwhile.
func TestTheResolversConfigurationIsAsItWas(t *testing.T) {
	server := netip.MustParseAddr("127.0.17.53")
	for name, conf := range map[string][]byte{
		"none at all":   nil,
		"empty":         {},
		"usual":         []byte("search example.com\nnameserver 192.0.2.1\n"),
		"no line's end": []byte("nameserver 192.0.2.1"),
	} {
		t.Run(name, func(t *testing.T) {
			with := withBlock(conf, server)
			if got := nameservers(with); len(got) == 0 || got[0] != server {
				t.Errorf("servers %v", got)
			}
			got, had := withoutBlock(with)
			if !had || string(got) != string(conf) || (got == nil) != (conf == nil) {
				t.Errorf("%q, %v; want %q", got, had, conf)
			}
			got, _ = withoutBlock(append(with, "options rotate\n"...))
			if want := string(conf) + "options rotate\n"; string(got) != want {
				t.Errorf("%q, want %q", got, want)
			}
			if got, _ := withoutBlock(append(slices.Clone(with), with...)); len(got) != 2*len(conf) {
				t.Errorf("twice: %q", got)
			}
		})
	}
	if rest, had := withoutBlock([]byte("nameserver 192.0.2.1\n")); had || string(rest) != "nameserver 192.0.2.1\n" {
		t.Errorf("what was never ours became %q", rest)
	}
}

func TestCommandsOfOtherSystems(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("fdad::1"), netip.MustParseAddr("100.64.0.1")}
	routes := []netip.Prefix{netip.MustParsePrefix("fdad::/48"), netip.MustParsePrefix("100.64.0.0/16")}
	for name, tt := range map[string]struct {
		got  [][]string
		want [][]string
	}{
		"macOS": {darwinAddresses("utun4", addrs, routes), [][]string{
			{"ifconfig", "utun4", "inet6", "fdad::1", "prefixlen", "128", "alias"},
			{"ifconfig", "utun4", "inet", "100.64.0.1", "100.64.0.1", "netmask", "255.255.255.255", "alias"},
			{"route", "-q", "-n", "add", "-inet6", "fdad::/48", "-interface", "utun4"},
			{"route", "-q", "-n", "add", "-inet", "100.64.0.0/16", "-interface", "utun4"},
		}},
		"Windows": {windowsAddresses("adit", addrs, routes), [][]string{
			{"netsh", "interface", "ipv6", "add", "address", "interface=adit", "address=fdad::1/128", "store=active"},
			{"netsh", "interface", "ipv4", "add", "address", "interface=adit", "address=100.64.0.1", "mask=255.255.255.255", "store=active"},
			{"netsh", "interface", "ipv6", "add", "route", "prefix=fdad::/48", "interface=adit", "metric=5", "store=active"},
			{"netsh", "interface", "ipv4", "add", "route", "prefix=100.64.0.0/16", "interface=adit", "metric=5", "store=active"},
		}},
		"Windows' names": {[][]string{windowsRule([]string{"adit", "64.100.in-addr.arpa"}, addrs[0]), windowsNoRule()}, [][]string{
			{"powershell", "-NoProfile", "-NonInteractive", "-Command", "Add-DnsClientNrptRule -Namespace '.adit','.64.100.in-addr.arpa' -NameServers 'fdad::1' -Comment 'adit up'"},
			{"powershell", "-NoProfile", "-NonInteractive", "-Command", "Get-DnsClientNrptRule | Where-Object Comment -eq 'adit up' | Remove-DnsClientNrptRule -Force"},
		}},
	} {
		if !slices.EqualFunc(tt.got, tt.want, slices.Equal) {
			t.Errorf("%s: %q\nwant %q", name, tt.got, tt.want)
		}
	}
	if got := darwinResolver(netip.MustParseAddrPort("127.0.0.1:53053")); got != "# Managed by adit up.\nnameserver 127.0.0.1\nport 53053\n" {
		t.Errorf("macOS' names: %q", got)
	}
}

func TestAddressesAreLookedUpInTheirZones(t *testing.T) {
	c := ResolverConfig{Suffix: "adit", Reverse: []netip.Prefix{netip.MustParsePrefix("fdad:17:ad17::/48"), netip.MustParsePrefix("100.107.0.0/16")}}
	if got, want := c.zones(), []string{"adit", "7.1.d.a.7.1.0.0.d.a.d.f.ip6.arpa", "107.100.in-addr.arpa"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Of macOS' files there is one for each zone, also after the zones have become others, and
// none but ours is touched.
func TestFilesOfZonesComeAndGo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "corp"), []byte("nameserver 192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	is := func(want ...string) {
		t.Helper()
		var got []string
		list, err := os.ReadDir(dir)
		for _, e := range list {
			got = append(got, e.Name())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	}
	c := ResolverConfig{Suffix: "adit", Server: netip.MustParseAddrPort("127.0.0.1:53")}
	for _, pool := range []string{"100.64.0.0/16", "198.18.0.0/16"} {
		c.Reverse = []netip.Prefix{netip.MustParsePrefix(pool)}
		if err := setResolverFiles(dir, c); err != nil {
			t.Fatal(err)
		}
	}
	is("18.198.in-addr.arpa", "adit", "corp")
	if err := removeResolverFiles(dir); err != nil {
		t.Fatal(err)
	}
	is("corp")
}
