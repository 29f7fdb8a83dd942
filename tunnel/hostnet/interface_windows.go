package hostnet

import "net/netip"

// DefaultName is the interface's name unless somebody wants another.
const DefaultName = "adit"

// LoopbackDNS is where this machine's programs ask for names. All of 127.0.0.0/8 is
// this machine, and somebody may have taken the usual address.
var LoopbackDNS = netip.MustParseAddrPort("127.0.17.53:53")

// MeshDNS says that the responder has an address on the mesh, too.
const MeshDNS = false

// picksName reports whether the system makes a name of its own of this one.
func picksName(string) bool { return false }

func addressCommands(name string, addrs []netip.Addr, routes []netip.Prefix) [][]string {
	return windowsAddresses(name, addrs, routes)
}
