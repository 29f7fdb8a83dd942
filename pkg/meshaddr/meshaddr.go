// Package meshaddr gives every node of the mesh its address: a fixed /48 and
// 80 bits of the node's id. The coordinator alone hands addresses out; a node
// never names its own.
package meshaddr

import (
	"net/netip"

	"github.com/google/uuid"
)

// Prefix holds all mesh addresses. It is a unique local prefix (RFC 4193), so
// it meets no address of the internet, nor the ranges that carriers translate.
var Prefix = netip.MustParsePrefix("fdad:17:ad17::/48")

// FromID returns the address of the node with the given id. Two ids that share
// their first 80 bits share an address; the coordinator's database refuses the
// second.
func FromID(id uuid.UUID) netip.Addr {
	addr := Prefix.Addr().As16()
	copy(addr[6:], id[:10])
	return netip.AddrFrom16(addr)
}
