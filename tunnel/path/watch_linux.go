package path

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// networkEvents are the kernel's messages about addresses, links and routes, of
// the network namespace that they were opened in.
type networkEvents struct {
	file *os.File
	buf  []byte
}

// openNetworkEvents begins to listen.
func openNetworkEvents() (*networkEvents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("path: watch the network: %w", err)
	}
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
		unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("path: watch the network: %w", err)
	}
	// The largest message, a link with all its statistics, is under 4 KiB.
	return &networkEvents{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 32<<10)}, nil
}

// next waits for something to happen, and reports whether routes changed. It
// fails after close.
func (e *networkEvents) next() (routes bool, err error) {
	n, err := e.file.Read(e.buf)
	if errors.Is(err, unix.ENOBUFS) {
		return true, nil // too much happened at once to be told of it all
	}
	if err != nil {
		return false, err
	}
	return routesChanged(e.buf[:n]), nil
}

// routesChanged reports whether any of the messages in b is about a route.
func routesChanged(b []byte) bool {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			break
		}
		kind := binary.NativeEndian.Uint16(b[4:])
		if (kind == unix.RTM_NEWROUTE || kind == unix.RTM_DELROUTE) && leadsOut(b[unix.SizeofNlMsghdr:size]) {
			return true
		}
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return false
}

// leadsOut reports whether a message about a route is about one that leads to
// other networks. Those in the table of local addresses come and go with the
// addresses, cloned ones with the packets, and those to a link's own neighbours
// with each container.
func leadsOut(msg []byte) bool {
	if len(msg) < unix.SizeofRtMsg {
		return false
	}
	table, kind, flags := msg[4], msg[7], binary.NativeEndian.Uint32(msg[8:])
	if table == unix.RT_TABLE_LOCAL || kind != unix.RTN_UNICAST || flags&unix.RTM_F_CLONED != 0 {
		return false
	}
	attrs := msg[unix.SizeofRtMsg:]
	for len(attrs) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(attrs))
		if size < unix.SizeofRtAttr || size > len(attrs) {
			break
		}
		if binary.NativeEndian.Uint16(attrs[2:]) == unix.RTA_DST {
			to, _ := netip.AddrFromSlice(attrs[unix.SizeofRtAttr:size])
			return !to.IsLinkLocalUnicast()
		}
		attrs = attrs[min(len(attrs), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return true // the default route names no destination
}

func (e *networkEvents) close() error { return e.file.Close() }
