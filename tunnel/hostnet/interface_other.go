//go:build !linux && !darwin && !windows

package hostnet

import "net/netip"

// DefaultName is the interface's name unless somebody wants another.
const DefaultName = "tun"

// LoopbackDNS is where this machine's programs ask for names.
var LoopbackDNS = netip.MustParseAddrPort("127.0.0.1:53053")

// MeshDNS says that the responder has an address on the mesh, too.
const MeshDNS = false

// picksName reports whether the system makes a name of its own of this one.
func picksName(string) bool { return true }

// addressCommands returns none: nobody has tried them here.
func addressCommands(string, []netip.Addr, []netip.Prefix) [][]string { return nil }
