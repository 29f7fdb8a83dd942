package path

import (
	"strings"
	"testing"
)

// What the kernel says of addresses names no more of them than it has lines.
func FuzzParseIfInet6(f *testing.F) {
	f.Add("fe800000000000000000000000000001 02 40 20 20     eth0\n")
	f.Add("00000000000000000000000000000001 01 80 10 zz lo\n\n")
	f.Fuzz(func(t *testing.T, table string) {
		if n := len(parseIfInet6(table)); n > strings.Count(table, "\n")+1 {
			t.Errorf("%d addresses in %q", n, table)
		}
	})
}

// A message about a route is noticed behind any other, too.
func FuzzRoutesChanged(f *testing.F) {
	route := []byte{28, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0}
	link := []byte{16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	f.Add(route)
	f.Add(append(link, route...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if routesChanged(b) && !routesChanged(append(link[:len(link):len(link)], b...)) {
			t.Errorf("%x is about routes, but not behind another message", b)
		}
	})
}
