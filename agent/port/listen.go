package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Listen listens on a TCP address or a unix socket. One that was left behind gives
// way.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network != TCP && network != Unix {
		return nil, fmt.Errorf("%.20q is no network to listen on", network)
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if network == Unix && errors.Is(err, syscall.EADDRINUSE) && abandoned(address) {
		if err = os.Remove(address); err == nil {
			l, err = new(net.ListenConfig).Listen(ctx, network, address)
		}
	}
	if err != nil {
		return nil, listenError(network, address, err)
	}
	if network == Unix {
		// Only who runs this program may connect.
		if err := os.Chmod(address, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s: %w", address, err), l.Close())
		}
	}
	return l, nil
}

// abandoned reports whether a unix socket is nobody's any more.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// ListenUDP listens on a UDP address.
func ListenUDP(ctx context.Context, address string) (net.PacketConn, error) {
	c, err := new(net.ListenConfig).ListenPacket(ctx, UDP, address)
	if err != nil {
		return nil, listenError(UDP, address, err)
	}
	return c, nil
}

// listenError says why an address cannot be listened on, and if it is taken by
// whom.
func listenError(network, address string, err error) error {
	by := ""
	if _, port, splitErr := net.SplitHostPort(address); splitErr == nil && errors.Is(err, syscall.EADDRINUSE) {
		n, _ := strconv.ParseUint(port, 10, 16) // the system took it for one
		by = takenBy(network, uint16(n))
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the rest of it says the address again
	}
	return fmt.Errorf("listen on %s: %w%s", address, err, by)
}

// takenBy says who has a port.
func takenBy(network string, port uint16) string {
	list, err := List()
	if err != nil {
		return ""
	}
	for _, l := range list {
		if l.Network == network && l.Port == port && l.Process != "" {
			return fmt.Sprintf(" by %s (process %d)", l.Process, l.PID)
		}
	}
	return ""
}
