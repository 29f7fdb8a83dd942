package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// Protocol is what a range of ports is of.
type Protocol string

// Protocols that a policy knows.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

// maxPort is the highest one.
const maxPort = 65535

// everything is all that a policy knows.
var everything = []Ports{{ICMP, 0, maxPort}, {TCP, 0, maxPort}, {UDP, 0, maxPort}}

// Ports are ports of a protocol, First and Last among them. Those of ICMP, which has none,
// are all.
type Ports struct {
	Protocol    Protocol
	First, Last uint16
}

// contains reports whether all of other are among p.
func (p Ports) contains(other Ports) bool {
	return p.Protocol == other.Protocol && p.First <= other.First && other.Last <= p.Last
}

// meets reports whether one of other is among p.
func (p Ports) meets(other Ports) bool {
	return p.Protocol == other.Protocol && p.First <= other.Last && other.First <= p.Last
}

func (p Ports) String() string {
	switch {
	case p.Protocol == ICMP:
		return string(ICMP)
	case p.First == 0 && p.Last == maxPort:
		return string(p.Protocol) + ":*"
	case p.First == p.Last:
		return fmt.Sprintf("%s:%d", p.Protocol, p.First)
	default:
		return fmt.Sprintf("%s:%d-%d", p.Protocol, p.First, p.Last)
	}
}

// readPorts reads "*", "icmp", "tcp:22", "udp:6000-6999" and "tcp:*".
func readPorts(text string) ([]Ports, error) {
	switch text {
	case "*":
		return everything, nil
	case string(ICMP):
		return []Ports{{ICMP, 0, maxPort}}, nil
	}
	name, ports, ok := strings.Cut(text, ":")
	p := Ports{Protocol: Protocol(name), Last: maxPort}
	if !ok || p.Protocol != TCP && p.Protocol != UDP {
		return nil, fmt.Errorf(`%.40q: want "*", icmp, or as tcp:22, udp:6000-6999 or tcp:*`, text)
	}
	if ports == "*" {
		return []Ports{p}, nil
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	var err error
	if p.First, err = readPort(first); err != nil {
		return nil, fmt.Errorf("%.40q: %w", text, err)
	}
	if p.Last, err = readPort(last); err != nil {
		return nil, fmt.Errorf("%.40q: %w", text, err)
	}
	if p.First > p.Last {
		return nil, fmt.Errorf("%.40q ends before it begins", text)
	}
	return []Ports{p}, nil
}

func readPort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port; those are 1 to %d", text, maxPort)
	}
	return uint16(n), nil
}
