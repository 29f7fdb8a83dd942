package path

import (
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// leavingAddrs returns the IPv6 addresses that the kernel does not use any more
// for new flows, such as a privacy address of yesterday, or cannot use yet.
func leavingAddrs() map[netip.Addr]bool {
	raw, err := os.ReadFile("/proc/thread-self/net/if_inet6")
	if err != nil {
		return nil // no IPv6
	}
	return parseIfInet6(string(raw))
}

// parseIfInet6 reads the kernel's table of IPv6 addresses. A line is an address
// of 32 hex digits, then the interface's index, the prefix length, the scope
// and flags, all in hex, and the interface's name.
func parseIfInet6(table string) map[netip.Addr]bool {
	const unfit = unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	leaving := make(map[netip.Addr]bool)
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		raw, err := hex.DecodeString(fields[0])
		ip, ok := netip.AddrFromSlice(raw)
		flags, flagsErr := strconv.ParseUint(fields[4], 16, 32)
		if err == nil && ok && flagsErr == nil && flags&unfit != 0 {
			leaving[ip] = true
		}
	}
	return leaving
}
