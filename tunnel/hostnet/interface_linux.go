package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// DefaultName is the interface's name unless somebody wants another.
const DefaultName = "adit0"

// LoopbackDNS is where this machine's programs ask for names. All of 127.0.0.0/8 is
// this machine, and somebody may have taken the usual address.
var LoopbackDNS = netip.MustParseAddrPort("127.0.17.53:53")

// MeshDNS says that the responder has an address on the mesh, too.
const MeshDNS = true

// picksName reports whether the system makes a name of its own of this one.
func picksName(string) bool { return false }

// kindOf adds to an error of the kernel's which of ours it is.
func kindOf(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", ErrTaken, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: %w", ErrNoTUN, err)
	}
	return err
}

// create makes a device that packets come from and go to, and nothing else. That of
// wireguard-go's CreateTUN asks each second whether the interface is up, to close the
// node's sockets when somebody takes it down; that wakes an idle machine for nothing.
func create(name string) (tun.Device, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	dev, _, err := tun.CreateUnmonitoredTUNFromFD(fd) // which owns it from here on
	return dev, err
}

// setUp gives the interface its MTU and brings it up, and IPv6 on it where the machine
// has it off by default: the mesh has no other.
func (i *Interface) setUp() error {
	conf := filepath.Join("/proc/sys/net/ipv6/conf", i.name)
	for name, value := range map[string]string{
		"disable_ipv6":  "0",
		"addr_gen_mode": "1", // no link-local address, which nobody would answer
	} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(value), 0); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("this kernel has no IPv6, which the mesh's addresses are: %w", err)
		}
		// Else /proc is read-only, as in containers; what is missing shows when the
		// address is set.
	}
	link, err := netlink.LinkByName(i.name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, MTU); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func (i *Interface) setAddresses(addrs []netip.Addr, routes []netip.Prefix) error {
	link, err := netlink.LinkByName(i.name)
	if err != nil {
		return err
	}
	wanted := make(map[netip.Addr]bool)
	for _, a := range addrs {
		wanted[a] = true
	}
	present, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, p := range present {
		if have, _ := netip.AddrFromSlice(p.IP); !wanted[have.Unmap()] && !have.IsLinkLocalUnicast() {
			if err := netlink.AddrDel(link, &p); err != nil {
				return fmt.Errorf("take %v off: %w", have, err)
			}
		}
	}
	for _, a := range addrs {
		err := netlink.AddrReplace(link, &netlink.Addr{
			IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
			Flags: unix.IFA_F_NODAD, // it is the coordinator's word that nobody else has it
		})
		if err != nil {
			return fmt.Errorf("add %v: %w", a, err)
		}
	}
	for _, r := range routes {
		var src net.IP // of several addresses, the kernel would choose by likeness
		for _, a := range slices.Backward(addrs) {
			if a.BitLen() == r.Addr().BitLen() {
				src = a.AsSlice()
			}
		}
		mtu := 0
		if r.Addr().Is4() {
			mtu = mtu4
		}
		err := netlink.RouteReplace(&netlink.Route{
			LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_STATIC, Src: src, MTU: mtu,
			Dst: &net.IPNet{IP: r.Addr().AsSlice(), Mask: net.CIDRMask(r.Bits(), r.Addr().BitLen())},
		})
		if err != nil {
			return fmt.Errorf("route %v: %w", r, err)
		}
	}
	return nil
}
