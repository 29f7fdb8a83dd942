package hostnet

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Connections returns the TCP connections that programs of this machine have, or are about
// to have. It reports false where the system does not tell.
func Connections() (all []Connection, known bool) {
	for _, table := range []string{"/proc/thread-self/net/tcp6", "/proc/thread-self/net/tcp"} {
		raw, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		known = true
		for line := range strings.Lines(string(raw)) {
			if c, ok := connectionOf(line); ok {
				all = append(all, c)
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

// connectionOf reads a line of the kernel's table of TCP sockets: a number, then the
// local and the remote end, then the state in hex.
func connectionOf(line string) (Connection, bool) {
	// Established, SYN sent, two of one that has sent all, two of one that has heard all.
	states := []string{"01", "02", "04", "05", "08", "09"}
	f := strings.Fields(line)
	if len(f) < 4 || !slices.Contains(states, f[3]) {
		return Connection{}, false
	}
	local, ok := parseEnd(f[1])
	remote, too := parseEnd(f[2])
	return Connection{local, remote}, ok && too
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
