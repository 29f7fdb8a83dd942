//go:build !linux

package hostnet

import "net/netip"

// Connections reports false: the system does not tell.
func Connections() (map[netip.Addr]bool, bool) { return nil, false }
