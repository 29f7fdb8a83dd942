//go:build !unix

package port

import "net"

// receive waits for a datagram and calls take with it.
func receive(conn *net.UDPConn, take func([]byte)) error {
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	n, err := conn.Read(buf[:])
	if err != nil {
		return err
	}
	take(buf[:n])
	return nil
}
