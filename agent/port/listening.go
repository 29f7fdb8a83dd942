package port

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Networks of a listening socket.
const (
	TCP  = "tcp"
	UDP  = "udp"
	Unix = "unix"
)

// ErrNotDetected is what a system answers whose listening sockets are not known:
// every one but Linux.
var ErrNotDetected = errors.New("listening ports are not detected on this system")

// Socket is a socket that waits for peers: one of TCP that listens, or one of UDP
// that is connected to nobody.
type Socket struct {
	Network string // TCP or UDP
	Addr    netip.AddrPort
	UID     uint32
	Inode   uint32
	// Backlog is how many connections may wait; zero of UDP and where the kernel
	// was not asked.
	Backlog uint32
}

// Program is a process.
type Program struct {
	PID  int
	Name string
}

// Listening is a port with what serves it. A port that one program serves on
// several addresses is one.
type Listening struct {
	Network string `json:"network"`
	Port    uint16 `json:"port"`
	// Address is where it listens; of several, the one that most reach.
	Address string `json:"address"`
	// Process is its name, empty where it cannot be seen: another user's.
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`

	backlog uint32
	inode   uint32
}

// String is the port as it is put into a sentence.
func (l Listening) String() string {
	s := fmt.Sprint(l.Port)
	if l.Network == UDP {
		s += "/udp"
	}
	if l.Process != "" {
		s += " (" + l.Process + ")"
	}
	return s
}

// maxTold is how many ports a sentence tells of.
const maxTold = 8

// Tell says what listens, in half a sentence: "80 (nginx), 5432 (postgres)".
func Tell(list []Listening, network string) string {
	var told []string
	for _, l := range list {
		if l.Network != network {
			continue
		}
		if len(told) == maxTold {
			told = append(told, "…")
			break
		}
		told = append(told, l.String())
	}
	if len(told) == 0 {
		return "nothing"
	}
	return strings.Join(told, ", ")
}

// gather makes ports of sockets. who tells the program of a socket, if it can be
// seen.
func gather(sockets []Socket, who func(Socket) Program) []Listening {
	var list []Listening
	for _, s := range sockets {
		p := who(s)
		i := slices.IndexFunc(list, func(l Listening) bool { return l.Network == s.Network && l.Port == s.Addr.Port() })
		if i < 0 {
			list = append(list, Listening{
				Network: s.Network, Port: s.Addr.Port(), Address: s.Addr.Addr().String(), Process: p.Name, PID: p.PID,
				backlog: s.Backlog, inode: s.Inode,
			})
			continue
		}
		l := &list[i]
		if l.Process == "" {
			l.Process, l.PID = p.Name, p.PID
		}
		if was, err := netip.ParseAddr(l.Address); err != nil || wider(s.Addr.Addr(), was) {
			l.Address, l.backlog, l.inode = s.Addr.Addr().String(), s.Backlog, s.Inode
		}
	}
	slices.SortFunc(list, func(a, b Listening) int {
		if a.Network != b.Network {
			return strings.Compare(a.Network, b.Network)
		}
		return int(a.Port) - int(b.Port)
	})
	return list
}

// wider reports whether more can reach address a than b.
func wider(a, b netip.Addr) bool {
	rank := func(a netip.Addr) int {
		switch {
		case a.IsUnspecified():
			return 0
		case !a.IsLoopback():
			return 1
		}
		return 2
	}
	return rank(a) < rank(b)
}

// dialable returns where a socket is reached from this machine.
func (s Socket) dialable() netip.AddrPort {
	a := s.Addr.Addr()
	switch {
	case a == netip.IPv4Unspecified():
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case a == netip.IPv6Unspecified():
		a = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(a, s.Addr.Port())
}

// List returns the ports that something listens on now, those of this process left
// out.
func List() ([]Listening, error) {
	s, err := openScanner()
	if err != nil {
		return nil, err
	}
	defer s.close()
	sockets, err := s.scan()
	if err != nil {
		return nil, err
	}
	inodes := make(map[uint32]bool, len(sockets))
	for _, k := range sockets {
		inodes[k.Inode] = true
	}
	programs := owners(inodes)
	return gather(visible(sockets, programs), func(s Socket) Program { return programs[s.Inode] }), nil
}

// addressesOf returns where a port is reached that does not listen on loopback.
func addressesOf(network string, port uint16) []netip.AddrPort {
	s, err := openScanner()
	if err != nil {
		return nil
	}
	defer s.close()
	s.clients = true
	sockets, err := s.scan()
	if err != nil {
		return nil
	}
	var list []netip.AddrPort
	for _, k := range sockets {
		if k.Network == network && k.Addr.Port() == port {
			list = append(list, k.dialable())
		}
	}
	return list
}
