//go:build !linux

package derp

import (
	"net"
	"net/netip"
)

// udpSocket is a socket of a UDP relay.
type udpSocket struct {
	conn *net.UDPConn
	buf  []byte
	in   [1]bundle
}

func listenUDPRelay(addr string, _ int) ([]*udpSocket, error) {
	port, err := portIn(addr)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return nil, err
	}
	return []*udpSocket{{conn: conn, buf: make([]byte, 1<<16)}}, nil
}

// read waits for datagrams, which are good until it is called again. It tells how many
// were lost before them for want of room.
func (s *udpSocket) read() (in []bundle, lost int, err error) {
	n, from, err := s.conn.ReadFromUDPAddrPort(s.buf)
	if err != nil {
		return nil, 0, err
	}
	s.in[0] = bundle{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), s.buf[:n], max(1, n)}
	return s.in[:], 0, nil
}

// write sends datagrams. Those that cannot be are lost.
func (s *udpSocket) write(out []bundle) error {
	for _, b := range out {
		_, _ = s.conn.WriteToUDPAddrPort(b.data, b.at) // lost
	}
	return nil
}
