//go:build !linux

package hostnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// IPv4InUse returns the ranges of IPv4 that this machine has addresses in, but for
// those of one interface. Routes through others are not seen here.
func IPv4InUse(except string) ([]netip.Prefix, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("hostnet: list interfaces: %w", err)
	}
	var used []netip.Prefix
	for _, ifc := range list {
		addrs, err := ifc.Addrs()
		if err != nil || ifc.Name == except {
			continue // it went away, or is ours
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				used = append(used, p.Masked())
			}
		}
	}
	return used, nil
}

// WatchRoutes waits until ctx is done: the system does not tell.
func WatchRoutes(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
