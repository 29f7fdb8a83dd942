// Package quickconn has connections read and written without telling Go's scheduler.
//
// Before each system call that may take long, Go notes that the thread may be lost to it,
// and on a machine that has been idle it wakes its monitor up, on another core. Of a relay
// with little to do that was 1.2 futex calls and 1.7 naps of the monitor's for each packet.
// To read what has come, or to write what there is room for, takes some microseconds and
// never waits: it is a datagram, or 16 KiB of a stream. What waits is Go's poller, as ever.
//
// Elsewhere than on Linux, connections are what they were.
package quickconn

import "net"

// atOnce is how many bytes are copied in a call that Go's scheduler is not told of: a full
// record of TLS.
const atOnce = 16 << 10

// Listener has all connections of a listener be quick.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

// Accept returns the next connection.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}
