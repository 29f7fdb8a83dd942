package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/aditmesh/adit/agent/port"
)

// maxForwards bounds what one command forwards: a range that was mistyped would
// take all ports of a machine.
const maxForwards = 1024

// endpoint is one side of a forward: a port, or the path of a unix socket.
type endpoint struct {
	host string // to listen on
	port uint16
	path string
}

// address is where to listen.
func (e endpoint) address() string {
	if e.path != "" {
		return e.path
	}
	return net.JoinHostPort(e.host, strconv.Itoa(int(e.port)))
}

// portSpec is one forward: from where it listens to where it leads.
type portSpec struct {
	udp        bool
	listen, to endpoint
}

// network is what to listen on.
func (s portSpec) network() string {
	switch {
	case s.udp:
		return port.UDP
	case s.listen.path != "":
		return port.Unix
	}
	return port.TCP
}

// destination is where it leads, for people.
func (s portSpec) destination() string {
	switch {
	case s.to.path != "":
		return s.to.path
	case s.udp:
		return fmt.Sprintf("UDP port %d", s.to.port)
	}
	return fmt.Sprintf("port %d", s.to.port)
}

// portFlags are the values of --tcp, --udp and --unix, a list each.
type portFlags struct{ tcp, udp, unix []string }

// parse reads all of them.
func (f portFlags) parse() ([]portSpec, error) {
	var all []portSpec
	for _, kind := range []struct {
		flag   string
		values []string
	}{{"--tcp", f.tcp}, {"--udp", f.udp}, {"--unix", f.unix}} {
		for _, v := range kind.values {
			list, err := parsePorts(kind.flag, v)
			if err != nil {
				return nil, err
			}
			if all = append(all, list...); len(all) > maxForwards {
				return nil, fmt.Errorf("%s %s: more than %d ports at once", kind.flag, v, maxForwards)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("name what to forward: --tcp LISTEN:TARGET, --udp LISTEN:TARGET or --unix PATH:PATH")
	}
	return all, nil
}

// parsePorts reads "[BIND:]LISTEN[:TARGET]". A TARGET that is left out is LISTEN.
// Each is a port, a range of ports, or the path of a unix socket.
func parsePorts(flag, s string) ([]portSpec, error) {
	bad := func(why string) error { return fmt.Errorf("%s %q: %s", flag, s, why) }
	const form = "want [BIND:]LISTEN[:TARGET], each a port, a range such as 8000-8010, or the path of a socket"
	parts, err := splitColons(s)
	if err != nil || len(parts) > 3 {
		return nil, bad(form)
	}
	bind := "127.0.0.1"
	if len(parts) == 3 || len(parts) == 2 && !isSide(parts[0]) {
		bind, parts = parts[0], parts[1:]
	}
	if strings.ContainsAny(bind, " \t\r\n/") || bind == "" {
		return nil, bad(form)
	}
	from, to := parts[0], parts[len(parts)-1]
	if !isSide(from) || !isSide(to) {
		return nil, bad(form)
	}
	switch {
	case flag == "--udp" && (isPath(from) || isPath(to)):
		return nil, bad("datagrams go from port to port")
	case flag == "--unix" && (!isPath(from) || !isPath(to)):
		return nil, bad("want PATH:PATH; --tcp takes a path and a port, too")
	case isPath(from) && len(parts) == 1:
		return nil, bad("say where the socket leads to: " + from + ":TARGET")
	case to == "0":
		return nil, bad("port 0 is none; as LISTEN it is any that is free")
	}
	listen, targets := side(from), side(to)
	if len(targets) == 1 && targets[0].path != "" && len(listen) > 1 || len(listen) != len(targets) {
		return nil, bad(fmt.Sprintf("%d ports cannot lead to %d", len(listen), len(targets)))
	}
	specs := make([]portSpec, 0, len(listen))
	for i := range listen {
		listen[i].host = bind
		specs = append(specs, portSpec{udp: flag == "--udp", listen: listen[i], to: targets[i]})
	}
	return specs, nil
}

func isPath(s string) bool { return strings.Contains(s, "/") }

// isSide reports whether s is a port, a range or a path. Port 0 is any.
func isSide(s string) bool {
	if isPath(s) {
		return true
	}
	if s == "0" {
		return true
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		return isPort(s)
	}
	if !isPort(first) || !isPort(last) {
		return false
	}
	a, b := portNumber(first), portNumber(last)
	return a <= b && int(b-a) < maxForwards
}

// side returns the endpoints that s names, which is a side.
func side(s string) []endpoint {
	if isPath(s) {
		return []endpoint{{path: s}}
	}
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	var list []endpoint
	for n := int(portNumber(first)); n <= int(portNumber(last)); n++ {
		list = append(list, endpoint{port: uint16(n)})
	}
	return list
}

// portNumber reads what isPort took.
func portNumber(s string) uint16 {
	n, _ := strconv.ParseUint(s, 10, 16)
	return uint16(n)
}
