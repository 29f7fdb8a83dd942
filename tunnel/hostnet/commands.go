package hostnet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// What macOS and Windows are told is by commands of theirs. They are made here, on
// every system, so that they are tested on every system.

// darwinAddresses are the commands that give an interface its addresses and routes.
func darwinAddresses(name string, addrs []netip.Addr, routes []netip.Prefix) [][]string {
	var all [][]string
	for _, a := range addrs {
		if a.Is4() { // a point-to-point interface wants a far end: itself
			all = append(all, []string{"ifconfig", name, "inet", a.String(), a.String(), "netmask", "255.255.255.255", "alias"})
		} else {
			all = append(all, []string{"ifconfig", name, "inet6", a.String(), "prefixlen", "128", "alias"})
		}
	}
	for _, r := range routes {
		family := "-inet6"
		if r.Addr().Is4() {
			family = "-inet"
		}
		all = append(all, []string{"route", "-q", "-n", "add", family, r.String(), "-interface", name})
	}
	return all
}

// windowsAddresses are the commands that give an interface its addresses and
// routes. None of it is kept over a restart.
func windowsAddresses(name string, addrs []netip.Addr, routes []netip.Prefix) [][]string {
	family := func(a netip.Addr) string {
		if a.Is4() {
			return "ipv4"
		}
		return "ipv6"
	}
	var all [][]string
	for _, a := range addrs {
		c := []string{"netsh", "interface", family(a), "add", "address", "interface=" + name}
		if a.Is4() {
			c = append(c, "address="+a.String(), "mask=255.255.255.255", "store=active")
		} else {
			c = append(c, "address="+a.String()+"/128", "store=active")
		}
		all = append(all, c)
	}
	for _, r := range routes {
		all = append(all, []string{
			"netsh", "interface", family(r.Addr()), "add", "route", "prefix=" + r.String(), "interface=" + name, "metric=5", "store=active",
		})
	}
	return all
}

// windowsRule is the PowerShell by which Windows asks server for names under some zones,
// and windowsNoRule takes all rules of ours away.
func windowsRule(zones []string, server netip.Addr) []string {
	return powershell("Add-DnsClientNrptRule -Namespace '." + strings.Join(zones, "','.") + "' -NameServers '" + server.String() + "' -Comment '" + ruleComment + "'")
}

func windowsNoRule() []string {
	return powershell("Get-DnsClientNrptRule | Where-Object Comment -eq '" + ruleComment + "' | Remove-DnsClientNrptRule -Force")
}

// ruleComment tells our rules from those of others.
const ruleComment = "adit up"

func powershell(script string) []string {
	return []string{"powershell", "-NoProfile", "-NonInteractive", "-Command", script}
}

// darwinResolver is the file in /etc/resolver by which macOS asks server for the
// names under the suffix that the file is called after.
func darwinResolver(server netip.AddrPort) string {
	return fmt.Sprintf("%s\nnameserver %v\nport %d\n", managedLine, server.Addr(), server.Port())
}

// managedLine begins the files that are ours.
const managedLine = "# Managed by adit up."

// setResolverFiles has the files in a directory that are ours be one for each zone.
func setResolverFiles(dir string, cfg ResolverConfig) error {
	if err := removeResolverFiles(dir); err != nil {
		return err
	}
	for _, zone := range cfg.zones() {
		if err := os.WriteFile(filepath.Join(dir, zone), []byte(darwinResolver(cfg.Server)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeResolverFiles removes those that are ours from a directory, if there is one.
func removeResolverFiles(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(text), managedLine) {
			continue // somebody else's
		}
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}
