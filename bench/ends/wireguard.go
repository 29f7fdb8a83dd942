package main

import (
	"context"
	"fmt"
	"net/netip"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/aditmesh/adit/bench/role"
)

// wireGuard plays upstream's userspace WireGuard, with its own sockets, on an
// interface.
func wireGuard(_ context.Context, conf role.Config, v *role.Voice) error {
	const name = "wg0"
	dev, err := tun.CreateTUN(name, tunMTU)
	if err != nil {
		return err
	}
	wg := device.NewDevice(dev, conn.NewStdNetBind(), device.NewLogger(device.LogLevelError, "wireguard-go: "))
	defer wg.Close()
	err = wg.IpcSet(fmt.Sprintf("private_key=%x\nlisten_port=%d\npublic_key=%x\nendpoint=%s\nallowed_ip=%s/128\n",
		conf.Private, conf.Endpoint.Port(), conf.PeerPublic, conf.Endpoint, conf.PeerAddr))
	if err != nil {
		return err
	}
	if err := wg.Up(); err != nil {
		return err
	}
	if err := setUpInterface(name, conf.Addr, netip.PrefixFrom(conf.PeerAddr, conf.PeerAddr.BitLen())); err != nil {
		return err
	}
	if err := v.Say(role.Ready{Addr: conf.Addr.String()}); err != nil {
		return err
	}
	_, err = v.Listen() // there is nothing to ask of it
	return err
}
