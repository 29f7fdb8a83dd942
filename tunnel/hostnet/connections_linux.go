package hostnet

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Connections returns the addresses that programs of this machine have TCP
// connections to. It reports false where the system does not tell.
func Connections() (map[netip.Addr]bool, bool) {
	all := make(map[netip.Addr]bool)
	known := false
	for _, table := range []string{"/proc/thread-self/net/tcp6", "/proc/thread-self/net/tcp"} {
		raw, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		known = true
		for line := range strings.Lines(string(raw)) {
			if a, ok := remoteOf(line); ok {
				all[a] = true
			}
		}
	}
	return all, known
}

// OwnerOf returns the user whose program of this machine has a TCP socket at a local
// address and port. It reports false where the system does not tell.
func OwnerOf(at netip.AddrPort) (uid int, known bool) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	for _, table := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		raw, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			const local, user = 1, 7
			if len(f) <= user {
				continue
			}
			if end, ok := parseEnd(f[local]); ok && end == at {
				if uid, err := strconv.Atoi(f[user]); err == nil {
					return uid, true
				}
			}
		}
	}
	return 0, false
}

// remoteOf reads a line of the kernel's table of TCP sockets: a number, then the
// local and the remote end, then the state in hex.
func remoteOf(line string) (netip.Addr, bool) {
	const established, closeWait = "01", "08"
	f := strings.Fields(line)
	if len(f) < 4 || f[3] != established && f[3] != closeWait {
		return netip.Addr{}, false
	}
	end, ok := parseEnd(f[2])
	return end.Addr(), ok
}

// parseEnd reads an address, in words of the machine's byte order, and a port, all in
// hex.
func parseEnd(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for at := 0; at < len(raw); at += 4 {
		binary.BigEndian.PutUint32(raw[at:], binary.NativeEndian.Uint32(raw[at:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), ok
}
