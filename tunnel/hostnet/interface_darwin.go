package hostnet

import "net/netip"

// DefaultName has macOS choose the next free utun interface.
const DefaultName = "utun"

// LoopbackDNS is where this machine's programs ask for names: macOS can be told the
// port, and has no other address of its own.
var LoopbackDNS = netip.MustParseAddrPort("127.0.0.1:53053")

// MeshDNS says that the responder has an address on the mesh, too.
const MeshDNS = false

// picksName reports whether the system makes a name of its own of this one.
func picksName(name string) bool { return name == "utun" }

func addressCommands(name string, addrs []netip.Addr, routes []netip.Prefix) [][]string {
	return darwinAddresses(name, addrs, routes)
}
