package bench

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// tunMTU is that of every interface whose owner leaves the choice to us: what
// WireGuard carries over an Ethernet.
const tunMTU = 1420

// wireGuardPort is where both ends listen.
const wireGuardPort = 51820

// wireGuardConfig is one end of a WireGuard tunnel.
type wireGuardConfig struct {
	Private, PeerPublic [32]byte
	Endpoint            netip.AddrPort
	Addr, PeerAddr      netip.Addr
}

// runWireGuard plays upstream's userspace WireGuard.
func runWireGuard(ctx context.Context, in *json.Decoder, out *replies) error {
	var conf wireGuardConfig
	if err := in.Decode(&conf); err != nil {
		return err
	}
	dev, err := tun.CreateTUN("wg0", tunMTU)
	if err != nil {
		return err
	}
	wg := device.NewDevice(dev, conn.NewStdNetBind(), device.NewLogger(device.LogLevelError, "wireguard-go: "))
	defer wg.Close()
	err = wg.IpcSet(fmt.Sprintf("private_key=%x\nlisten_port=%d\npublic_key=%x\nendpoint=%s\nallowed_ip=%s/128\n",
		conf.Private, wireGuardPort, conf.PeerPublic, conf.Endpoint, conf.PeerAddr))
	if err != nil {
		return err
	}
	if err := wg.Up(); err != nil {
		return err
	}
	if err := setUpInterface("wg0", conf.Addr, netip.PrefixFrom(conf.PeerAddr, 128)); err != nil {
		return err
	}
	if err := out.send(ready{Addr: conf.Addr.String()}); err != nil {
		return err
	}
	var none struct{}
	return in.Decode(&none) // until the end
}

// setUpInterface gives an interface an address and a route.
func setUpInterface(name string, addr netip.Addr, route netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	// The lab's hosts are without IPv6, so that everybody's packets have the same
	// headers on the way. Tunnels carry it.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("0"), 0); err != nil {
		return fmt.Errorf("IPv6 on %s: %w", name, err)
	}
	parsed, err := netlink.ParseAddr(netip.PrefixFrom(addr, addr.BitLen()).String())
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, parsed); err != nil {
		return fmt.Errorf("address %v of %s: %w", addr, name, err)
	}
	dst, err := netlink.ParseIPNet(route.String())
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}); err != nil {
		return fmt.Errorf("route %v by %s: %w", route, name, err)
	}
	return nil
}

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
		c := startChild(t, h, "wireguard", wireGuardConfig{
			Private: [32]byte(keys[i].Bytes()), PeerPublic: [32]byte(keys[1-i].PublicKey().Bytes()),
			Endpoint: netip.AddrPortFrom(l.near()[1-i].Addr(), wireGuardPort),
			Addr:     addrs[i], PeerAddr: addrs[1-i],
		})
		c.read(new(ready))
		p.ends[i] = kernelEnd(t, h, c.pid)
	}
	return p
}
