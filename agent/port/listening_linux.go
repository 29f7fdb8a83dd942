package port

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// See sock_diag(7) and linux/inet_diag.h.
	sockDiagByFamily = 20
	requestLen       = 56
	messageLen       = 72

	// States of a socket, in the kernel's numbers: TCP that listens, and UDP that is
	// connected to nobody.
	stateClose  = 7
	stateListen = 10

	// dumpBuffer holds what the kernel writes at once.
	dumpBuffer = 32 << 10
)

// scanner asks the kernel which sockets wait for peers. Where it has no sock_diag,
// as in some sandboxes, it reads /proc/net, which costs more.
type scanner struct {
	fd      int // -1 without sock_diag
	request []byte
	buf     []byte
	found   []Socket
	clients bool   // also sockets of UDP that only clients have, as a rule
	from    uint16 // first port that the kernel gives to whoever asks for any
	to      uint16
}

func openScanner() (*scanner, error) {
	s := &scanner{fd: -1, request: make([]byte, unix.NLMSG_HDRLEN+requestLen), buf: make([]byte, dumpBuffer)}
	s.from, s.to = ephemeral()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return s, nil
	}
	// The kernel answers at once or never does.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("port: ask for listening sockets: %w", err)
	}
	s.fd = fd
	return s, nil
}

// slow reports whether to scan costs much.
func (s *scanner) slow() bool { return s.fd < 0 }

func (s *scanner) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
}

// scan returns the sockets that wait for peers. They are good until the next scan.
func (s *scanner) scan() ([]Socket, error) {
	s.found = s.found[:0]
	if s.fd >= 0 {
		err := s.ask()
		if err == nil {
			return s.found, nil
		}
		unix.Close(s.fd)
		s.fd, s.found = -1, s.found[:0]
	}
	return s.found, s.read()
}

func (s *scanner) ask() error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []struct {
			protocol byte
			states   uint32
		}{{unix.IPPROTO_TCP, 1 << stateListen}, {unix.IPPROTO_UDP, 1 << stateClose}} {
			if err := s.dump(family, kind.protocol, kind.states); err != nil {
				return err
			}
		}
	}
	return nil
}

// dump asks for the sockets of a family and protocol that are in some states. The
// kernel filters, so that connections cost nothing.
func (s *scanner) dump(family, protocol byte, states uint32) error {
	clear(s.request)
	binary.NativeEndian.PutUint32(s.request, uint32(len(s.request)))
	binary.NativeEndian.PutUint16(s.request[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(s.request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := s.request[unix.NLMSG_HDRLEN:]
	body[0], body[1] = family, protocol
	binary.NativeEndian.PutUint32(body[4:], states)
	if _, err := unix.Write(s.fd, s.request); err != nil {
		return fmt.Errorf("port: ask for listening sockets: %w", err)
	}
	for {
		n, err := unix.Read(s.fd, s.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("port: read listening sockets: %w", err)
		}
		done, err := s.take(s.buf[:n], protocol)
		if done || err != nil {
			return err
		}
	}
}

// take reads messages of an answer. It is done with the last.
func (s *scanner) take(b []byte, protocol byte) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return true, errors.New("port: a message of the kernel's is cut off")
		}
		body := b[unix.NLMSG_HDRLEN:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) >= 4 {
				err = unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
			}
			return true, fmt.Errorf("port: list listening sockets: %w", err)
		case sockDiagByFamily:
			if len(body) >= messageLen {
				s.add(socketFrom(body, protocol))
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// add keeps a socket, unless it is one of UDP that no program chose the port of:
// a client's.
func (s *scanner) add(k Socket) {
	if p := k.Addr.Port(); k.Network == UDP && !s.clients && (p == 0 || p >= s.from && p <= s.to) {
		return
	}
	s.found = append(s.found, k)
}

func socketFrom(m []byte, protocol byte) Socket {
	k := Socket{Network: TCP, UID: binary.NativeEndian.Uint32(m[64:]), Inode: binary.NativeEndian.Uint32(m[68:])}
	port := binary.BigEndian.Uint16(m[4:])
	addr := netip.AddrFrom4([4]byte(m[8:12]))
	if m[0] == unix.AF_INET6 {
		addr = netip.AddrFrom16([16]byte(m[8:24])).Unmap()
	}
	k.Addr = netip.AddrPortFrom(addr, port)
	if protocol == unix.IPPROTO_UDP {
		k.Network = UDP
	} else {
		k.Backlog = binary.NativeEndian.Uint32(m[60:])
	}
	return k
}

// ephemeral returns the ports that the kernel gives to whoever asks for any.
func ephemeral() (from, to uint16) {
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if _, err := fmt.Sscan(string(raw), &from, &to); err == nil {
			return from, to
		}
	}
	return 32768, 60999 // the kernel's own default
}

// read reads /proc/net.
func (s *scanner) read() error {
	var failed error
	for name, network := range map[string]string{"tcp": TCP, "tcp6": TCP, "udp": UDP, "udp6": UDP} {
		raw, err := os.ReadFile("/proc/net/" + name)
		if errors.Is(err, os.ErrNotExist) && strings.HasSuffix(name, "6") {
			continue // a machine without IPv6
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("port: list listening sockets: %w", err))
			continue
		}
		for _, k := range parseProcNet(string(raw), network) {
			s.add(k)
		}
	}
	return failed
}

// parseProcNet reads a table of /proc/net.
func parseProcNet(text, network string) []Socket {
	state := fmt.Sprintf("%02X", stateListen)
	if network == UDP {
		state = fmt.Sprintf("%02X", stateClose)
	}
	var list []Socket
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state {
			continue
		}
		addr, ok := parseProcAddr(f[1])
		uid, uidErr := strconv.ParseUint(f[7], 10, 32)
		inode, inodeErr := strconv.ParseUint(f[9], 10, 32)
		if ok && uidErr == nil && inodeErr == nil {
			list = append(list, Socket{Network: network, Addr: addr, UID: uint32(uid), Inode: uint32(inode)})
		}
	}
	return list
}

// parseProcAddr reads "0100007F:0050": words in the machine's order.
func parseProcAddr(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

// visible leaves out the sockets of this process.
func visible(sockets []Socket, programs map[uint32]Program) []Socket {
	self := os.Getpid()
	return slices.DeleteFunc(slices.Clone(sockets), func(s Socket) bool { return programs[s.Inode].PID == self })
}

// owners looks for the programs that hold sockets, by inode. Those of other users
// are not found, unless this one may look: it is root, or has CAP_SYS_PTRACE.
func owners(inodes map[uint32]bool) map[uint32]Program {
	found := make(map[uint32]Program)
	if len(inodes) == 0 {
		return found
	}
	dirs, err := os.Open("/proc")
	if err != nil {
		return found
	}
	defer dirs.Close()
	names, err := dirs.Readdirnames(-1)
	if err != nil {
		return found
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range slices.Backward(pids) { // what listens was started late, as a rule
		if fillOwners(pid, inodes, found); len(found) == len(inodes) {
			break
		}
	}
	return found
}

// linkBuf holds the target of a link: "socket:[4294967295]" and a little.
type linkBuf [64]byte

var linkBufs = sync.Pool{New: func() any { return new(linkBuf) }}

// fillOwners notes which of some sockets a process holds.
func fillOwners(pid int, inodes map[uint32]bool, found map[uint32]Program) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	fds, err := os.Open(dir)
	if err != nil {
		return // another user's, or gone
	}
	defer fds.Close()
	buf := linkBufs.Get().(*linkBuf)
	defer linkBufs.Put(buf)
	for {
		names, err := fds.Readdirnames(256)
		for _, name := range names {
			n, err := unix.Readlinkat(int(fds.Fd()), name, buf[:])
			if err != nil {
				continue
			}
			inode, ok := socketInode(buf[:n])
			if !ok || !inodes[inode] {
				continue
			}
			if _, known := found[inode]; !known {
				found[inode] = Program{PID: pid, Name: programName(pid)}
			}
		}
		if err != nil {
			return
		}
	}
}

// socketInode reads "socket:[123]".
func socketInode(link []byte) (uint32, bool) {
	const prefix = "socket:["
	if len(link) < len(prefix)+2 || string(link[:len(prefix)]) != prefix || link[len(link)-1] != ']' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(link[len(prefix):len(link)-1]), 10, 32)
	return uint32(n), err == nil
}

// programName is what people call a process.
func programName(pid int) string {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
