package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/tunnel/path"
)

func TestParsePeerTakesNoAddressOutsideTheMesh(t *testing.T) {
	key := make([]byte, 32)
	key[0] = 1
	good := &meshv1.Peer{Id: "x", PublicKey: key, DiscoKey: key, Addresses: []string{"fdad:17:ad17::1"}, Endpoints: []string{"192.0.2.1:1", "junk"}}
	info, addrs, err := parsePeer(good)
	if err != nil || len(addrs) != 1 || len(info.Endpoints) != 1 {
		t.Errorf("a good peer: %+v, %v, %v", info, addrs, err)
	}
	for name, p := range map[string]*meshv1.Peer{
		"foreign address": {PublicKey: key, DiscoKey: key, Addresses: []string{"10.0.0.1"}},
		"default route":   {PublicKey: key, DiscoKey: key, Addresses: []string{"::"}},
		"short key":       {PublicKey: key[:31], DiscoKey: key},
		"long key":        {PublicKey: append([]byte{0}, key...), DiscoKey: key},
		"no disco key":    {PublicKey: key},
		"no address":      {PublicKey: key, DiscoKey: key, Addresses: []string{"nonsense"}},
	} {
		if _, _, err := parsePeer(p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestParseDeviceStats(t *testing.T) {
	one, two := strings.Repeat("01", 32), strings.Repeat("02", 32)
	got := parseDeviceStats(fmt.Sprintf(
		"private_key=%s\nlisten_port=1\npublic_key=%s\nlast_handshake_time_sec=1000\nrx_bytes=5\ntx_bytes=7\npublic_key=%s\nlast_handshake_time_sec=0\n",
		one, one, two))
	var k1, k2 [32]byte
	for i := range k1 {
		k1[i], k2[i] = 1, 2
	}
	if s := got[k1]; !s.lastHandshake.Equal(time.Unix(1000, 0)) || s.rx != 5 || s.tx != 7 {
		t.Errorf("first peer: %+v", s)
	}
	if s, ok := got[k2]; !ok || !s.lastHandshake.IsZero() || s.rx != 0 {
		t.Errorf("second peer: %+v, %v", s, ok)
	}
}

func FuzzParseDeviceStats(f *testing.F) {
	f.Add("public_key=" + strings.Repeat("ab", 32) + "\nrx_bytes=1\n")
	f.Add("public_key=\nrx_bytes=-1\n=\n")
	// Every peer that is reported was named by a line of its own.
	f.Fuzz(func(t *testing.T, conf string) {
		stats := parseDeviceStats(conf)
		if n := strings.Count(conf, "public_key="); len(stats) > n {
			t.Errorf("%d peers from %d lines", len(stats), n)
		}
	})
}

func TestVerdicts(t *testing.T) {
	now := time.Unix(1000, 0)
	settled := path.Path{Since: now.Add(-time.Minute), Tried: 2}
	with := func(p path.Path, nat path.NAT) path.Path {
		p.NAT = nat
		return p
	}
	direct := settled
	direct.Direct = netip.MustParseAddrPort("192.0.2.1:1")
	relayed := settled
	relayed.UDPRelay = netip.MustParseAddrPort("192.0.2.9:3480")
	for name, tt := range map[string]struct {
		f    facts
		want string
	}{
		"direct":                {facts{at: direct, online: true}, ""},
		"own UDP blocked":       {facts{self: path.Self{NAT: path.NATBlocked}, at: settled, online: true}, CodeUDPBlocked},
		"peer UDP blocked":      {facts{at: with(settled, path.NATBlocked), online: true}, CodeUDPBlocked},
		"both hard":             {facts{self: path.Self{NAT: path.NATHard}, at: with(settled, path.NATHard), online: true}, CodeHardNATBoth},
		"one hard, no guessing": {facts{self: path.Self{NAT: path.NATHard}, at: with(settled, path.NATEasy), online: true}, CodeHardNAT},
		"one hard, guessed in vain": {
			facts{self: path.Self{NAT: path.NATEasy}, at: with(path.Path{HardRounds: path.HardRounds}, path.NATHard), online: true, guessing: true},
			CodeHardNAT,
		},
		"one hard, guessing": {
			facts{self: path.Self{NAT: path.NATEasy}, at: with(path.Path{Since: now, HardRounds: 1}, path.NATHard), online: true, guessing: true},
			CodeConnecting,
		},
		"relay only":      {facts{self: path.Self{RelayOnly: true}, at: settled, online: true}, CodeRelayForced},
		"peer relay only": {facts{at: path.Path{RelayOnly: true}, online: true}, CodeRelayForced},
		"narrow":          {facts{at: path.Path{Narrow: true}, online: true}, CodeMTU},
		"swallowed":       {facts{at: path.Path{Swallowed: true}, online: true}, CodeDataBlocked},
		"behind a VPN":    {facts{at: settled, online: true, vpn: "tun0"}, CodeVPNInTheWay},
		"just begun":      {facts{at: path.Path{Since: now}, online: true}, CodeConnecting},
		"offline":         {facts{at: settled}, CodePeerOffline},
		"no relay":        {facts{at: settled, online: true, relayErr: ErrClosed}, CodeNoRelay},
		"no relay, by TCP or UDP": {
			facts{self: path.Self{NAT: path.NATBlocked}, at: with(settled, path.NATBlocked), online: true, relayErr: ErrClosed}, CodeNoRelay,
		},
		"UDP relay, whose TCP ended": {facts{at: relayed, online: true, relayErr: ErrClosed}, CodePeerFirewall},
		"IPv4 and IPv6": {facts{
			self: path.Self{Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}}, at: path.Path{IPv6: true}, online: true,
		}, CodeIPVersions},
		"IPv4 and both": {facts{
			self: path.Self{Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}}, at: path.Path{IPv4: true, IPv6: true}, online: true,
		}, CodePeerFirewall},
		"nothing answers": {facts{at: settled, online: true}, CodePeerFirewall},
	} {
		tt.f.now = now
		v := judge(&tt.f)
		switch {
		case v == nil && tt.want != "", v != nil && v.Code != tt.want:
			t.Errorf("%s: %+v, want %s", name, v, tt.want)
		case v != nil && (v.Evidence == "" || v.Fix == ""):
			t.Errorf("%s: %+v says too little", name, v)
		}
	}
}
