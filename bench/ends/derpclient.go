package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"tailscale.com/derp"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	"github.com/aditmesh/adit/pkg/quickconn"
)

// derpClient is a client of a relay without a node behind it. It writes all that is
// due in one, and reads as cheaply as it can: the relay is what is measured. [udpClient]
// does the same.
type derpClient struct {
	key    key.NodePrivate
	conn   *tls.Conn
	reader *bufio.Reader
	client *derp.Client
}

// handshakeLasts bounds how long a client waits for the relay.
const handshakeLasts = 20 * time.Second

// dialDERP connects a client with a new key. reading is the size of its buffer, in
// bytes.
func dialDERP(ctx context.Context, relay netip.AddrPort, reading int) (*derpClient, error) {
	// Its certificate is its own.
	conf := &tls.Config{InsecureSkipVerify: true, ServerName: relay.Addr().String(), NextProtos: []string{"http/1.1"}}
	tcp, err := (&net.Dialer{Control: cubic}).DialContext(ctx, "tcp", relay.String())
	if err != nil {
		return nil, err
	}
	conn := tls.Client(quickconn.New(tcp), conf)
	c := &derpClient{key: key.NewNode(), conn: conn, reader: bufio.NewReaderSize(conn, reading)}
	if err := c.greet(ctx, relay); err != nil {
		conn.Close()
		return nil, fmt.Errorf("DERP at %v: %w", relay, err)
	}
	return c, nil
}

// cubic has a connection not go by the kernel's default, which may be anything.
func cubic(_, _ string, c syscall.RawConn) error {
	var set error
	if err := c.Control(func(fd uintptr) { set = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic") }); err != nil {
		return err
	}
	return set
}

func (c *derpClient) greet(ctx context.Context, relay netip.AddrPort) error {
	if err := c.conn.SetDeadline(time.Now().Add(handshakeLasts)); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+relay.String()+"/derp", nil)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Upgrade": {"DERP"}, "Connection": {"Upgrade"}}
	if err := req.Write(c.conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.reader, req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("answered %s", resp.Status)
	}
	if c.client, err = derp.NewClient(c.key, c.conn, bufio.NewReadWriter(c.reader, bufio.NewWriter(c.conn)), logger.Discard); err != nil {
		return err
	}
	// The relay's greeting: from then on it has packets for this client. The library's
	// Recv would leave it in the buffer.
	if _, n, err := derp.ReadFrameHeader(c.reader); err != nil {
		return err
	} else if _, err := c.reader.Discard(int(n)); err != nil {
		return err
	}
	return c.conn.SetDeadline(time.Time{})
}

// frames is n frames with a packet of a size each, to somebody.
func frames(to key.NodePublic, size, n int) []byte {
	frame := []byte{byte(derp.FrameSendPacket)}
	frame = binary.BigEndian.AppendUint32(frame, uint32(derp.KeyLen+size))
	frame = to.AppendTo(frame)
	frame = append(frame, make([]byte, size)...)
	all := make([]byte, 0, n*len(frame))
	for range n {
		all = append(all, frame...)
	}
	return all
}

// count counts the packets that come, until the connection ends.
func (c *derpClient) count(arrived *atomic.Int64) {
	for {
		kind, n, err := derp.ReadFrameHeader(c.reader)
		if err != nil {
			return
		}
		if _, err := c.reader.Discard(int(n)); err != nil {
			return
		}
		if kind == derp.FrameRecvPacket {
			arrived.Add(1)
		}
	}
}

// next waits for the next packet.
func (c *derpClient) next() (derp.ReceivedPacket, error) {
	for {
		m, err := c.client.Recv()
		if err != nil {
			return derp.ReceivedPacket{}, err
		}
		if p, ok := m.(derp.ReceivedPacket); ok {
			return p, nil
		}
	}
}
