//go:build !linux

package path

import "net/netip"

// leavingAddrs returns none: only Linux tells.
func leavingAddrs() map[netip.Addr]bool { return nil }
