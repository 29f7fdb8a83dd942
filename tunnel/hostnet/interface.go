package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.zx2c4.com/wireguard/tun"
)

// MTU is the size in bytes of the largest packets on the interface: what WireGuard
// carries over an Ethernet. Paths that carry less say so, peer by peer.
const MTU = 1420

// Errors of Open that callers tell apart.
var (
	// ErrNoTUN: the machine has no TUN devices.
	ErrNoTUN = errors.New("this machine has no TUN device")
	// ErrPermission: the process may not make one.
	ErrPermission = errors.New("making an interface is not permitted")
	// ErrTaken: there is an interface of that name.
	ErrTaken = errors.New("the interface name is taken")
)

// Interface is a network interface of this machine whose packets are a program's.
// The node that it is given to closes it.
type Interface struct {
	tun.Device
	name string
}

// Open makes an interface without addresses. An error matches ErrNoTUN,
// ErrPermission or ErrTaken where it is one of those.
func Open(name string) (*Interface, error) {
	if _, err := net.InterfaceByName(name); err == nil && !picksName(name) {
		return nil, fmt.Errorf("hostnet: make interface %s: %w", name, ErrTaken)
	}
	dev, err := create(name)
	if err != nil {
		return nil, fmt.Errorf("hostnet: make interface %s: %w", name, kindOf(err))
	}
	i := &Interface{Device: dev}
	if i.name, err = dev.Name(); err == nil {
		err = i.setUp()
	}
	if err != nil {
		return nil, fmt.Errorf("hostnet: make interface %s: %w", name, errors.Join(kindOf(err), dev.Close()))
	}
	return i, nil
}

// Name returns what the system calls the interface.
func (i *Interface) Name() (string, error) { return i.name, nil }

// SetAddress makes addr, in place of an earlier address, and the others the
// interface's, and has packets to the routes leave by it. They come from addr.
func (i *Interface) SetAddress(addr netip.Addr, others []netip.Addr, routes []netip.Prefix) error {
	if err := i.setAddresses(append([]netip.Addr{addr}, others...), routes); err != nil {
		return fmt.Errorf("hostnet: address of interface %s: %w", i.name, err)
	}
	return nil
}
