package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// socksTimeout bounds how long a client may take to say where it wants to go.
const socksTimeout = 10 * time.Second

var errSOCKS = errors.New("not a SOCKS5 CONNECT request")

// socksRequest reads a SOCKS5 greeting and CONNECT request (RFC 1928) without
// authentication and returns the "host:port" it asks for.
func socksRequest(conn net.Conn) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(socksTimeout)); err != nil {
		return "", err
	}
	defer func() { _ = conn.SetDeadline(time.Time{}) }() // a broken connection shows at its next use
	greeting := make([]byte, 2)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return "", err
	}
	if greeting[0] != 5 {
		return "", errSOCKS
	}
	if _, err := io.CopyN(io.Discard, conn, int64(greeting[1])); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte{5, 0}); err != nil { // no authentication
		return "", err
	}
	return readSOCKSConnect(conn)
}

// readSOCKSConnect reads the request that follows the greeting.
func readSOCKSConnect(r io.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	if head[0] != 5 || head[1] != 1 {
		return "", errSOCKS
	}
	var size int
	switch head[3] {
	case 1:
		size = 4
	case 4:
		size = 16
	case 3:
		n := make([]byte, 1)
		if _, err := io.ReadFull(r, n); err != nil {
			return "", err
		}
		size = int(n[0])
	default:
		return "", fmt.Errorf("%w: address type %d", errSOCKS, head[3])
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(r, rest); err != nil {
		return "", err
	}
	host := string(rest[:size])
	if head[3] != 3 {
		ip, _ := netip.AddrFromSlice(rest[:size])
		host = ip.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(rest[size:])))), nil
}

// socksReply tells the client whether it is connected.
func socksReply(conn net.Conn, ok bool) error {
	code := byte(0)
	if !ok {
		code = 5 // connection refused
	}
	_, err := conn.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
	return err
}
