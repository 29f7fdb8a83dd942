package hostnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// ResolverConfig says who answers for the mesh's names.
type ResolverConfig struct {
	// Interface is the mesh's.
	Interface string
	// Suffix of the mesh's names, without dots around it.
	Suffix string
	// Reverse are the ranges of addresses whose names are looked up there, too.
	Reverse []netip.Prefix
	// Server is where they are asked for. Only macOS heeds its port, which elsewhere
	// is 53.
	Server netip.AddrPort
	// Changed is called when the servers for other names may be others. Nil means
	// nobody wants to know.
	Changed func()
}

// zones are the names whose subordinates are looked up at the server.
func (c ResolverConfig) zones() []string {
	list := []string{c.Suffix}
	for _, p := range c.Reverse {
		list = append(list, reverseZone(p))
	}
	return list
}

// reverseZone is where the names of a range's addresses are looked up. Its length is one of
// whole digits: 4 bits each of IPv6, 8 of IPv4.
func reverseZone(p netip.Prefix) string {
	raw, digit, end := p.Addr().AsSlice(), "%d.", "in-addr.arpa"
	n := p.Bits() / 8
	if p.Addr().Is6() {
		var digits []byte
		for _, b := range raw {
			digits = append(digits, b>>4, b&15)
		}
		raw, digit, end, n = digits, "%x.", "ip6.arpa", p.Bits()/4
	}
	zone := end
	for _, b := range raw[:n] {
		zone = fmt.Sprintf(digit, b) + zone
	}
	return zone
}

// Where a resolver is set up by a line of a file, that file stays as it was but for
// a block in front, so that to restore it is to take the block out: nothing has to
// be remembered, and whatever else is written to the file meanwhile stays. The
// servers below the block answer when ours does not run any more.

const (
	blockBegin = "# Begin of what adit up has added; adit down takes it out.\n"
	blockEnd   = "# End of what adit up has added.\n"
	// blockMade says that there was no file before.
	blockMade = "# There was no such file.\n"
)

// withBlock returns the resolver's configuration with our server in front. A nil
// one does not exist.
func withBlock(conf []byte, server netip.Addr) []byte {
	var b bytes.Buffer
	b.WriteString(blockBegin)
	if conf == nil {
		b.WriteString(blockMade)
	}
	b.WriteString("nameserver " + server.String() + "\n")
	b.WriteString(blockEnd)
	b.Write(conf)
	return b.Bytes()
}

// withoutBlock returns the configuration as it is without what withBlock added, and
// whether that was there. What did not exist is nil.
func withoutBlock(conf []byte) (rest []byte, had bool) {
	begin := bytes.Index(conf, []byte(blockBegin))
	if begin < 0 {
		return conf, false
	}
	size := bytes.Index(conf[begin:], []byte(blockEnd))
	if size < 0 { // somebody has cut it off
		size = len(conf) - begin
	} else {
		size += len(blockEnd)
	}
	made := bytes.Contains(conf[begin:begin+size], []byte(blockMade))
	rest = append(append([]byte{}, conf[:begin]...), conf[begin+size:]...)
	if more, again := withoutBlock(rest); again {
		rest = more
	}
	if made && len(bytes.TrimSpace(rest)) == 0 {
		return nil, true
	}
	return rest, true
}

// nameservers returns the servers that a resolver's configuration names.
func nameservers(conf []byte) []netip.Addr {
	var list []netip.Addr
	for line := range strings.Lines(string(conf)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				list = append(list, a)
			}
		}
	}
	return list
}
