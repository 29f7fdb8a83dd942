package port

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Protocols that are told from others.
const (
	HTTP  = "http"
	HTTPS = "https"
)

const (
	// probeTimeout bounds one connection of a probe.
	probeTimeout = 2 * time.Second

	// speaksFirst is how long a server may take to greet. Those that do, such as
	// SSH and mail, are sent nothing.
	speaksFirst = 150 * time.Millisecond

	// minBacklog is how many connections a server may have wait for a probe to be no
	// harm: netcat and debuggers take one connection, and that is somebody's.
	minBacklog = 2
)

// unprobed are programs that take one connection, or for which any is an event;
// names as the kernel has them, 15 bytes at most.
var unprobed = []string{
	"nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "socat", "iperf3", "iperf", "gdbserver", "dlv", "lldb-server", "debugpy", "adb",
	"sshd", "postgres", "mysqld", "mariadbd", "redis-server", "valkey-server", "memcached", "mongod", "beam.smp", "etcd", "dockerd", "containerd",
}

// unprobedPorts are of protocols that nobody speaks HTTP on, and that log who
// tries: mail, databases, message queues, debuggers.
var unprobedPorts = []uint16{
	21, 22, 23, 25, 53, 110, 139, 143, 389, 445, 465, 587, 636, 993, 995, 1433, 1521, 1883, 2049, 3306, 3389, 4369, 5005, 5432, 5671, 5672, 5678,
	5900, 6379, 9042, 9092, 9229, 11211, 27017,
}

// mayProbe reports whether to connect to a port harms nothing, as far as can be
// seen. What cannot be seen, another user's, is left alone.
func mayProbe(l Listening) bool {
	return l.Process != "" && l.backlog >= minBacklog && !slices.Contains(unprobed, l.Process) && !slices.Contains(unprobedPorts, l.Port)
}

// question is what any server of HTTP answers and none does anything for: which
// methods it has, of no resource (RFC 9110, section 9.3.7).
const question = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUser-Agent: adit\r\nConnection: close\r\n\r\n"

// probe finds out what a port speaks; "" if that is neither HTTP nor HTTPS.
func probe(ctx context.Context, l Listening) string {
	at := probeAddress(l)
	said := askMethods(ctx, at)
	switch {
	case bytes.HasPrefix(said, []byte("HTTP/")) && !bytes.Contains(said, []byte("HTTPS")) && !bytes.Contains(said, []byte("SSL")):
		return HTTP
	case len(said) > 0 && said[0] != recordAlert && !bytes.HasPrefix(said, []byte("HTTP/")):
		return "" // it speaks, and something else
	}
	if secured(ctx, at) {
		return HTTPS
	}
	return ""
}

// recordAlert begins an alert of TLS: what was sent is no TLS.
const recordAlert = 0x15

func probeAddress(l Listening) string {
	addr, err := netip.ParseAddr(l.Address)
	if err != nil {
		addr = netip.IPv4Unspecified()
	}
	return Socket{Addr: netip.AddrPortFrom(addr, l.Port)}.dialable().String()
}

// askMethods asks a server which methods it has and returns the beginning of what it says.
func askMethods(ctx context.Context, at string) []byte {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, TCP, at)
	if err != nil {
		return nil
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	buf := make([]byte, 1024)
	if conn.SetReadDeadline(time.Now().Add(speaksFirst)) != nil {
		return nil
	}
	if n, _ := conn.Read(buf); n > 0 {
		return buf[:n]
	}
	if conn.SetReadDeadline(time.Time{}) != nil {
		return nil
	}
	if _, err := conn.Write([]byte(question)); err != nil {
		return nil
	}
	n := 0
	for n < len(buf) {
		m, err := conn.Read(buf[n:])
		if n += m; err != nil {
			break
		}
	}
	return buf[:n]
}

// secured reports whether a server speaks TLS, as HTTPS does. Whose certificate it
// has does not matter: nothing is said to it.
func secured(ctx context.Context, at string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return false
	}
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h2", "http/1.1"}}}
	conn, err := dialer.DialContext(ctx, TCP, at)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
