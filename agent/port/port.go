// Package port lets peers reach what listens inside the workspace, and what
// listens there reach peers.
//
// A connection to a mesh port that the agent itself does not serve is carried to
// the same port of the workspace: see [Open]. What a connection cannot do goes
// through a [Server] on a port of its own, which a [Client] asks: unix sockets,
// datagrams, and sockets that listen in the workspace and lead to the peer.
package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// Open connects to a port on loopback, IPv4 before IPv6, or else to where it
// listens, and returns what is to serve the peer's connection. The error of a port
// that nobody listens on matches the system's ECONNREFUSED.
func Open(ctx context.Context, port uint16) (serve func(net.Conn), err error) {
	local, err := Dial(ctx, port)
	if err != nil {
		return nil, err
	}
	return func(peer net.Conn) { Join(peer, local) }, nil
}

// Dial connects to a port of this machine, as Open does.
func Dial(ctx context.Context, port uint16) (net.Conn, error) {
	var dialer net.Dialer
	var errs error
	try := func(host string) net.Conn {
		c, err := dialer.DialContext(ctx, TCP, net.JoinHostPort(host, strconv.Itoa(int(port))))
		errs = errors.Join(errs, err)
		return c
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		if c := try(host); c != nil {
			return c, nil
		}
	}
	for _, at := range addressesOf(TCP, port) { // one address of the machine's alone
		if c := try(at.Addr().String()); c != nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("port: connect to port %d: %w", port, errs)
}

// Join copies between two connections, each way until its end, and closes
// both. The end of one direction is passed on and the other goes on.
func Join(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(a, b) })
	wg.Go(func() { copyHalf(b, a) })
	wg.Wait()
}

func copyHalf(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		// One side is broken: nothing that the other sends will arrive.
		dst.Close()
		src.Close()
		return
	}
	_ = closeWrite(dst) // a broken dst shows in the other direction
}
