package hostnet

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
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

// remoteOf reads a line of the kernel's table of TCP sockets: a number, then the
// local and the remote end, each an address in words of the machine's byte order and
// a port, all in hex, then the state.
func remoteOf(line string) (netip.Addr, bool) {
	const established, closeWait = "01", "08"
	f := strings.Fields(line)
	if len(f) < 4 || f[3] != established && f[3] != closeWait {
		return netip.Addr{}, false
	}
	text, _, _ := strings.Cut(f[2], ":")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, false
	}
	for at := 0; at < len(raw); at += 4 {
		binary.BigEndian.PutUint32(raw[at:], binary.NativeEndian.Uint32(raw[at:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return a.Unmap(), ok
}
