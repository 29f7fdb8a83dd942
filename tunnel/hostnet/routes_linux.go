package hostnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// IPv4InUse returns the ranges of IPv4 that this machine has routes or addresses in,
// but for those of one interface.
func IPv4InUse(except string) ([]netip.Prefix, error) {
	own := -1
	if link, err := netlink.LinkByName(except); err == nil {
		own = link.Attrs().Index
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("hostnet: list routes: %w", err)
	}
	var used []netip.Prefix
	for _, r := range routes {
		if r.LinkIndex != own && r.Dst != nil {
			used = append(used, prefixOf(r.Dst))
		}
	}
	return used, nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

// WatchRoutes calls changed after this machine's routes have changed, until ctx is
// done.
func WatchRoutes(ctx context.Context, changed func()) error {
	updates, done := make(chan netlink.RouteUpdate, 64), make(chan struct{})
	if err := netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{}); err != nil {
		return fmt.Errorf("hostnet: watch routes: %w", err)
	}
	defer func() { // the other end sends until it has seen that nobody listens
		for range updates {
		}
	}()
	defer close(done)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-updates:
			if !ok {
				return nil
			}
			changed()
		}
	}
}
