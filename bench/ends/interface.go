package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// tunMTU is that of every interface whose owner leaves the choice to us: what
// WireGuard carries over an Ethernet.
const tunMTU = 1420

// setUpInterface gives an interface an address and a route.
func setUpInterface(name string, addr netip.Addr, route netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	// The lab's hosts are without IPv6, so that everybody's packets have the same
	// headers on the way. Tunnels carry it.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("0"), 0); err != nil {
		return fmt.Errorf("IPv6 on %s: %w", name, err)
	}
	parsed, err := netlink.ParseAddr(netip.PrefixFrom(addr, addr.BitLen()).String())
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, parsed); err != nil {
		return fmt.Errorf("address %v of %s: %w", addr, name, err)
	}
	dst, err := netlink.ParseIPNet(route.String())
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}); err != nil {
		return fmt.Errorf("route %v by %s: %w", route, name, err)
	}
	return nil
}
