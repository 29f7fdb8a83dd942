package role

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelNet is the network stack of the host.
type kernelNet struct{}

func (kernelNet) DialTCP(ctx context.Context, to string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to)
}

func (kernelNet) DialUDP(ctx context.Context, to string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "udp", to)
}

func (kernelNet) ListenTCP(port uint16) (net.Listener, error) {
	return net.ListenTCP("tcp", &net.TCPAddr{Port: int(port)})
}

// receiveBuffer keeps a receiver that is not scheduled for some milliseconds from
// being what loses datagrams.
const receiveBuffer = 8 << 20

func (kernelNet) ListenUDP(port uint16) (net.PacketConn, error) {
	conf := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var setErr error
		err := c.Control(func(fd uintptr) {
			setErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
		})
		if err != nil {
			return err
		}
		return setErr
	}}
	return conf.ListenPacket(context.Background(), "udp", (&net.UDPAddr{Port: int(port)}).String())
}

// Kernel plays the programs of a host whose tunnel is an interface.
func Kernel(ctx context.Context, _ Config, v *Voice) error {
	t := NewTraffic(kernelNet{}, nil)
	if err := t.Serve(); err != nil {
		return err
	}
	if err := v.Say(Ready{}); err != nil {
		return err
	}
	return t.Answer(ctx, v)
}
