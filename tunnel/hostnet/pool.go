package hostnet

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// poolBits is the size of the range that peers' IPv4 addresses are from.
const poolBits = 16

// poolRanges are where it may be: what carriers number their customers with, which
// few machines are on, else what is for tests of devices alone (RFC 2544).
var poolRanges = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("198.18.0.0/15")}

// PickPool returns a range of IPv4 addresses that meets none of those in use: prefer,
// if it may stay.
func PickPool(prefer netip.Prefix, used []netip.Prefix) (netip.Prefix, error) {
	free := func(p netip.Prefix) bool {
		return !slices.ContainsFunc(used, func(u netip.Prefix) bool { return u.Bits() > 0 && u.Overlaps(p) })
	}
	if prefer.IsValid() && free(prefer) {
		return prefer, nil
	}
	for _, r := range poolRanges {
		first := binary.BigEndian.Uint32(r.Addr().AsSlice())
		count := uint32(1) << (poolBits - r.Bits())
		// From the middle: others begin at the ends.
		for i := range count {
			at := first + ((i+count/2+count/4)%count)<<(32-poolBits)
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, at))), poolBits)
			if free(p) {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("hostnet: all of %v is in use by this machine's routes", poolRanges)
}

// Assign gives each address one of the pool's, the first of which is self4 and this
// machine's. An address keeps what it had, and gets the same again in most cases if it
// comes back, or after a restart.
func Assign(pool netip.Prefix, had map[netip.Addr]netip.Addr, addrs []netip.Addr) (self4 netip.Addr, all map[netip.Addr]netip.Addr) {
	first := binary.BigEndian.Uint32(pool.Addr().AsSlice())
	at := func(n uint32) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, first+n)))
	}
	const size = 1 << (32 - poolBits)
	all = make(map[netip.Addr]netip.Addr, len(addrs))
	taken := make(map[netip.Addr]bool, len(addrs))
	var later []netip.Addr
	for _, a := range addrs {
		if h, ok := had[a]; ok && pool.Contains(h) && !taken[h] {
			all[a], taken[h] = h, true
		} else {
			later = append(later, a)
		}
	}
	slices.SortFunc(later, netip.Addr.Compare)
	for _, a := range later {
		h := fnv.New32a()
		raw := a.As16()
		_, _ = h.Write(raw[:]) // it cannot fail
		n := h.Sum32()
		for range size {
			// Neither the first two, which are the range's and ours, nor the last.
			if to := at(2 + n%(size-3)); !taken[to] {
				all[a], taken[to] = to, true
				break
			}
			n++
		}
	}
	return at(1), all
}
