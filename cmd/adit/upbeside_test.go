package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/netlab"
)

// Beside a bridge of Docker's, on two networks at once, while the default route changes and
// under a VPN that takes all of the machine's traffic, a connection goes on, and the packets
// that carry it never take the interface that they are for.
func TestUpBesideOtherNetworks(t *testing.T) {
	v := deployVPN(t)
	v.echoes(v.devbox, "9000")
	for _, h := range []*netlab.Host{v.laptop, v.devbox} {
		docker(t, h)
	}
	wire := v.laptop.Capture()
	v.start()
	v.must("ping", "-c", "1", "-W", "20", "dev.adit")
	session := v.open("nc.log", "nc", "dev.adit", "9000")
	goesOn := func(where string) {
		t.Helper()
		session.echo(where)
		if out := v.must("ping", "-c", "2", "-i", "0.2", "-W", "20", "dev.adit"); !strings.Contains(out, "2 received") {
			t.Errorf("%s: %s", where, out)
		}
	}
	direct := func(where string) {
		t.Helper()
		v.eventually("a direct path "+where, func() bool {
			v.must("ping", "-c", "1", "-W", "20", "dev.adit")
			p := v.status().Peers[0].Path
			return p.Kind == "direct" && !strings.HasPrefix(p.Addr, "172.17.")
		})
	}
	goesOn("beside a bridge")
	direct("beside a bridge")

	// The workspace says that it is at an address that stands for it on the laptop.
	at := strings.TrimSpace(v.must("dig", "+short", "dev.adit", "A"))
	pool := netip.PrefixFrom(netip.MustParseAddr(at), 16).Masked()
	ipOn(t, v.devbox, "addr add "+at+"/32 dev eth0")
	v.up.waitLine("the workspace's address", func(line string) bool {
		return strings.Contains(line, "names addresses") && strings.Contains(line, at)
	})
	goesOn("where it says it is")

	cafe := v.lab.Router("cafe", netlab.PortRestricted)
	gateway := v.laptop.JoinNetwork(cafe, "wlan0").String()
	goesOn("on two networks")
	v.must("ip", "route", "replace", "default", "via", gateway, "dev", "wlan0")
	goesOn("by the other network")
	direct("by the other network")
	v.must("ip", "route", "replace", "default", "via", "192.168.1.1", "dev", "eth0")
	goesOn("by the first network again")

	down := fullTunnel(t, v.laptop, v.lab.Host("provider"))
	goesOn("under a VPN")
	down()
	goesOn("without the VPN")
	direct("without the VPN")

	own := func(a netip.Addr) bool { return meshaddr.Prefix.Contains(a) || pool.Contains(a) }
	for f, seen := range wire.Stop() {
		carries := f.UDP && slices.ContainsFunc(seen.Samples, isUnderlay)
		if carries && (own(f.Src.Addr()) || own(f.Dst.Addr())) {
			t.Errorf("%d packets that carry others go from %v to %v", seen.Packets, f.Src, f.Dst)
		}
	}
	var links []struct {
		Stats struct{ RX, TX struct{ Packets int } } `json:"stats64"`
	}
	const enough = 1000 // for what went on, which was some hundred
	text := v.must("ip", "-s", "-j", "link", "show", "adit0")
	if err := json.Unmarshal([]byte(text), &links); err != nil || len(links) != 1 || links[0].Stats.RX.Packets+links[0].Stats.TX.Packets > enough {
		t.Errorf("the interface has seen %s (%v)", text, err)
	}
}

// isUnderlay reports whether a datagram is one of WireGuard's or disco's.
func isUnderlay(p []byte) bool {
	return len(p) >= 4 && p[0] >= 1 && p[0] <= 4 && p[1]|p[2]|p[3] == 0 || strings.HasPrefix(string(p), "TS\xf0\x9f\x92\xac")
}

// docker gives a host a bridge as Docker does, with a container on it.
func docker(t *testing.T, h *netlab.Host) {
	t.Helper()
	ipOn(t, h, "link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link add veth0 type veth peer name veth1",
		"link set veth0 master docker0", "link set docker0 up", "link set veth0 up", "link set veth1 up")
}

func ipOn(t *testing.T, h *netlab.Host, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := h.Output(t.Context(), "ip", strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
}

// fullTunnel has all of a host's IPv4 go by a WireGuard tunnel to a provider, who passes it
// on, as wg-quick sets it up. The function it returns takes that down.
func fullTunnel(t *testing.T, h, provider *netlab.Host) (down func()) {
	t.Helper()
	const mark, port = 51820, 51820
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	near := wireguardOn(t, h, "wg0", fmt.Sprintf("private_key=%x\nfwmark=%d\npublic_key=%x\nendpoint=%v\nallowed_ip=0.0.0.0/0\n",
		keys[0].Bytes(), mark, keys[1].PublicKey().Bytes(), netip.AddrPortFrom(provider.Addr(), port)))
	far := wireguardOn(t, provider, "wg0", fmt.Sprintf("private_key=%x\nlisten_port=%d\npublic_key=%x\nallowed_ip=10.99.0.2/32\n",
		keys[1].Bytes(), port, keys[0].PublicKey().Bytes()))
	ipOn(t, provider, "addr add 10.99.0.1/24 dev wg0", "link set wg0 mtu 1420 up")
	if err := provider.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }); err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"add table ip nat", "add chain ip nat out { type nat hook postrouting priority 100 ; }", "add rule ip nat out oifname eth0 masquerade"} {
		if _, err := provider.Output(t.Context(), "nft", rule); err != nil {
			t.Fatal(err)
		}
	}
	ipOn(t, h, "addr add 10.99.0.2/32 dev wg0", "link set wg0 mtu 1420 up", fmt.Sprintf("route add default dev wg0 table %d", mark),
		fmt.Sprintf("rule add not fwmark %d table %d", mark, mark), "rule add table main suppress_prefixlength 0")
	return func() {
		ipOn(t, h, "rule del table main suppress_prefixlength 0", fmt.Sprintf("rule del not fwmark %d table %d", mark, mark))
		near.Close()
		far.Close()
	}
}

// wireguardOn brings up an interface of WireGuard's on a host.
func wireguardOn(t *testing.T, h *netlab.Host, name, config string) *device.Device {
	t.Helper()
	var dev *device.Device
	if err := h.Do(func() error {
		ifc, err := tun.CreateTUN(name, device.DefaultMTU)
		if err != nil {
			return err
		}
		dev = device.NewDevice(steady{ifc}, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
		if err := dev.IpcSet(config); err != nil {
			return err
		}
		return dev.Up()
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close) // a second time does nothing
	return dev
}

// steady is an interface that its device takes to be up from the start: one that saw it go
// down and come up would open its socket anew on a thread of another network namespace.
type steady struct{ tun.Device }

func (s steady) Events() <-chan tun.Event {
	go func() {
		for range s.Device.Events() { // until it is closed
		}
	}()
	none := make(chan tun.Event)
	close(none)
	return none
}
