package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"go4.org/mem"
	"golang.org/x/sys/unix"
	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/types/key"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/quickconn"
)

// udpClient is one end of a session with a UDP relay, without a node behind it.
type udpClient struct {
	conn  *net.UDPConn // to the relay
	quick net.Conn     // the same
	disco key.DiscoPrivate
	vni   uint32
	// closed ends counting.
	closed atomic.Bool
}

// close ends the client, and who counts what it gets.
func (u *udpClient) close() {
	u.closed.Store(true)
	u.conn.Close()
}

const (
	// socketBuffer keeps an end that is not scheduled for some milliseconds from being
	// what loses datagrams.
	socketBuffer = 8 << 20

	// segments is how many datagrams the kernel takes as one.
	segments = 45

	// bindTries is how often an end says where it is: datagrams may be lost.
	bindTries = 20
)

// dialUDP opens a session between two new ends.
func dialUDP(ctx context.Context, conf role.Config) (ends [2]*udpClient, err error) {
	asker, err := dialDERP(ctx, conf.Relay, 4<<10)
	if err != nil {
		return ends, err
	}
	defer asker.conn.Close()
	discos := [2]key.DiscoPrivate{key.NewDisco(), key.NewDisco()}
	offer, err := asker.session(conf, discos)
	if err != nil {
		return ends, fmt.Errorf("ask for a session: %w", err)
	}
	for i := range ends {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(conf.Relay.Addr(), conf.UDPPort)))
		if err != nil {
			return ends, err
		}
		u := &udpClient{conn: conn, quick: quickconn.New(conn), disco: discos[i], vni: offer.VNI}
		if err := errors.Join(u.set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer), u.set(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer)); err != nil {
			return ends, err
		}
		if err := u.bind(offer.ServerDisco, discos[1-i].Public()); err != nil {
			return ends, fmt.Errorf("bind a session: %w", err)
		}
		ends[i] = u
	}
	return ends, nil
}

func (u *udpClient) set(level, name, value int) error {
	raw, err := u.conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, name, value) }); err != nil {
		return err
	}
	return set
}

// session asks a relay for the session of two ends.
func (c *derpClient) session(conf role.Config, discos [2]key.DiscoPrivate) (*disco.AllocateUDPRelayEndpointResponse, error) {
	server := key.DiscoPublicFromRaw32(mem.B(conf.UDPDisco[:]))
	ask := &disco.AllocateUDPRelayEndpointRequest{ClientDisco: [2]key.DiscoPublic{discos[0].Public(), discos[1].Public()}, Generation: 1}
	if err := c.client.Send(key.NodePublicFromRaw32(mem.B(conf.UDPKey[:])), seal(discos[0], server, ask)); err != nil {
		return nil, err
	}
	if err := c.conn.SetDeadline(time.Now().Add(handshakeLasts)); err != nil {
		return nil, err
	}
	got, err := c.next()
	if err != nil {
		return nil, err
	}
	m, err := open(discos[0], server, got.Data)
	if offer, ok := m.(*disco.AllocateUDPRelayEndpointResponse); ok {
		return offer, nil
	}
	return nil, errors.Join(err, errors.New("no offer"))
}

// bind tells the relay where this end is.
func (u *udpClient) bind(server, other key.DiscoPublic) error {
	common := disco.BindUDPRelayEndpointCommon{VNI: u.vni, Generation: 1, RemoteKey: other}
	buf := make([]byte, 2048)
	for range bindTries {
		if err := u.control(seal(u.disco, server, &disco.BindUDPRelayEndpoint{BindUDPRelayEndpointCommon: common})); err != nil {
			return err
		}
		if err := u.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		n, err := u.conn.Read(buf)
		if err != nil {
			continue
		}
		m, err := open(u.disco, server, buf[min(n, packet.GeneveFixedHeaderLength):n])
		challenge, ok := m.(*disco.BindUDPRelayEndpointChallenge)
		if err != nil || !ok {
			continue
		}
		if err := u.control(seal(u.disco, server, &disco.BindUDPRelayEndpointAnswer{BindUDPRelayEndpointCommon: challenge.BindUDPRelayEndpointCommon})); err != nil {
			return err
		}
		return u.conn.SetReadDeadline(time.Time{})
	}
	return errors.New("no challenge came")
}

func seal(from key.DiscoPrivate, to key.DiscoPublic, m disco.Message) []byte {
	return append(from.Public().AppendTo([]byte(disco.Magic)), from.Shared(to).Seal(m.AppendMarshal(nil))...)
}

func open(to key.DiscoPrivate, from key.DiscoPublic, frame []byte) (disco.Message, error) {
	if _, ok := disco.Source(frame); !ok {
		return nil, errors.New("no disco")
	}
	plain, ok := to.Shared(from).Open(frame[len(disco.Magic)+key.DiscoPublicRawLen:])
	if !ok {
		return nil, errors.New("sealed by another")
	}
	return disco.Parse(plain)
}

// header is what stands before each datagram of the session.
func (u *udpClient) header(protocol uint16, control bool) []byte {
	h := packet.GeneveHeader{Control: control, Protocol: protocol}
	h.VNI.Set(u.vni)
	b := make([]byte, packet.GeneveFixedHeaderLength)
	_ = h.Encode(b) // it is long enough
	return b
}

func (u *udpClient) control(frame []byte) error {
	_, err := u.conn.Write(append(u.header(packet.GeneveProtocolDisco, true), frame...))
	return err
}

// datagrams is n datagrams with a packet of a size each, one behind the other.
func (u *udpClient) datagrams(size, n int) []byte {
	one := append(u.header(packet.GeneveProtocolWireGuard, false), make([]byte, size)...)
	var all []byte
	for range n {
		all = append(all, one...)
	}
	return all
}

// segmentEach is the control message that has the kernel cut what is sent.
func segmentEach(size int) []byte {
	const header = unix.SizeofCmsghdr
	oob := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[header:], uint16(size))
	return oob
}
