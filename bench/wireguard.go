package bench

import (
	"crypto/ecdh"
	"crypto/rand"
	"net/netip"
	"testing"

	"github.com/aditmesh/adit/bench/role"
)

// wireGuardPort is where both ends listen.
const wireGuardPort = 51820

// startWireGuard joins two hosts by upstream's WireGuard.
func startWireGuard(t testing.TB, l *lab) *pair {
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	addrs := [2]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
	p := &pair{addr: addrs[1].String()}
	for i, h := range l.near() {
		far := 1 - i
		c := startChild(t, h, l.ends, "wireguard", role.Config{
			Private: [32]byte(keys[i].Bytes()), PeerPublic: [32]byte(keys[far].PublicKey().Bytes()),
			Endpoint: netip.AddrPortFrom(l.near()[far].Addr(), wireGuardPort),
			Addr:     addrs[i], PeerAddr: addrs[far],
		})
		c.ready()
		p.ends[i] = kernelEnd(t, l, h, c.pid)
	}
	return p
}
