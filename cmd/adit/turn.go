//go:build !slim

package main

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"net/url"

	"github.com/aditmesh/adit/derp"
)

// turnServer is how the relay inside the server relays browsers; nil is not at all.
func (f serverFlags) turnServer(ctx context.Context, access *url.URL) (*derp.TURN, error) {
	if !f.turn {
		return nil, nil
	}
	host := ""
	if access != nil {
		host = access.Hostname()
	} else if listens, _, err := net.SplitHostPort(f.listen); err == nil {
		host = listens
	}
	at, err := turnAddress(ctx, f.turnAddress, host)
	if err != nil {
		return nil, err
	}
	if !at.IsValid() || at.IsUnspecified() {
		at = outward(ctx)
	}
	return &derp.TURN{Secret: rand.Text(), Address: func() netip.Addr { return at }}, nil
}

// turnAddress is the address that a flag names, or else a host has; the zero address is
// unknown.
func turnAddress(ctx context.Context, flag, host string) (netip.Addr, error) {
	if flag != "" {
		at, err := netip.ParseAddr(flag)
		if err != nil {
			return at, usagef("--turn-address: %w", err)
		}
		return at, nil
	}
	if host == "" {
		return netip.Addr{}, nil
	}
	// A name that leads nowhere has a finding of its own.
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil || len(found) == 0 {
		return netip.Addr{}, nil
	}
	return found[0].Unmap(), nil
}

// outward is the address that this host has on the way to the internet; the zero
// address is that there is no way.
func outward(ctx context.Context) netip.Addr {
	// Nothing is sent: 192.0.2.1 is nobody's (RFC 5737).
	conn, err := new(net.Dialer).DialContext(ctx, "udp4", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
