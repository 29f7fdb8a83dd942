// Package port lets peers reach what listens inside the workspace: a
// connection to a mesh port that the agent itself does not serve is carried to
// the same port on loopback.
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

// Open connects to a port on loopback, IPv4 before IPv6, and returns what is to
// serve the peer's connection. The error of a port that nobody listens on
// matches the system's ECONNREFUSED.
func Open(ctx context.Context, port uint16) (serve func(net.Conn), err error) {
	var dialer net.Dialer
	var errs error
	for _, host := range []string{"127.0.0.1", "::1"} {
		local, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err == nil {
			return func(peer net.Conn) { Join(peer, local) }, nil
		}
		errs = errors.Join(errs, err)
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
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // a broken dst shows in the other direction
		return
	}
	dst.Close()
}
