package derp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go4.org/mem"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/types/key"
)

const (
	// udpTry is how long a datagram of a probe is waited for before it is sent again,
	// and udpTries how often: a second in all.
	udpTry   = 250 * time.Millisecond
	udpTries = 4
)

// errSilentUDP is that datagrams got no answer.
var errSilentUDP = errors.New("no answer over UDP")

// overUDP has a relay bring a datagram from one end of a session to the other, both of
// which are the prober's.
func overUDP(ctx context.Context, c *derphttp.Client, t Target) error {
	discos := [2]key.DiscoPrivate{key.NewDisco(), key.NewDisco()}
	offer, err := askSession(c, t.UDP, discos)
	if err != nil {
		return fmt.Errorf("ask for a session: %w", err)
	}
	addr := net.JoinHostPort(t.URL.Hostname(), strconv.Itoa(int(t.UDP.Port)))
	var ends [2]net.Conn
	for i := range ends {
		if ends[i], err = new(net.Dialer).DialContext(ctx, "udp", addr); err != nil {
			return err
		}
		defer ends[i].Close()
		defer context.AfterFunc(ctx, func() { ends[i].Close() })()
		if err := bindSession(ends[i], discos[i], discos[1-i].Public(), offer); err != nil {
			return fmt.Errorf("bind a session: %w", err)
		}
	}
	sent := append(geneve(offer.VNI, packet.GeneveProtocolWireGuard, false), "probe"...)
	return roundTrip(ends[0], ends[1], sent, func(got []byte) bool { return string(got) == string(sent) })
}

// askSession asks a relay's DERP for a session of two ends.
func askSession(c *derphttp.Client, at UDPRelayInfo, discos [2]key.DiscoPrivate) (*disco.AllocateUDPRelayEndpointResponse, error) {
	relay, server := key.NodePublicFromRaw32(mem.B(at.Key[:])), key.DiscoPublicFromRaw32(mem.B(at.DiscoKey[:]))
	ask := &disco.AllocateUDPRelayEndpointRequest{ClientDisco: [2]key.DiscoPublic{discos[0].Public(), discos[1].Public()}, Generation: 1}
	if err := c.Send(relay, sealDisco(discos[0], server, ask)); err != nil {
		return nil, err
	}
	for { // ends with the connection
		m, err := c.Recv()
		if err != nil {
			return nil, err
		}
		if got, ok := m.(derp.ReceivedPacket); ok && got.Source == relay {
			if offer, ok := openDisco(discos[0], server, got.Data).(*disco.AllocateUDPRelayEndpointResponse); ok {
				return offer, nil
			}
		}
	}
}

// bindSession says where an end is, and proves it.
func bindSession(conn net.Conn, own key.DiscoPrivate, other key.DiscoPublic, offer *disco.AllocateUDPRelayEndpointResponse) error {
	say := func(m disco.Message) []byte {
		return append(geneve(offer.VNI, packet.GeneveProtocolDisco, true), sealDisco(own, offer.ServerDisco, m)...)
	}
	var challenge *disco.BindUDPRelayEndpointChallenge
	hello := &disco.BindUDPRelayEndpoint{BindUDPRelayEndpointCommon: disco.BindUDPRelayEndpointCommon{VNI: offer.VNI, Generation: 1, RemoteKey: other}}
	err := roundTrip(conn, conn, say(hello), func(got []byte) (ok bool) {
		challenge, ok = openDisco(own, offer.ServerDisco, got[min(len(got), packet.GeneveFixedHeaderLength):]).(*disco.BindUDPRelayEndpointChallenge)
		return ok
	})
	if err != nil {
		return err
	}
	_, err = conn.Write(say(&disco.BindUDPRelayEndpointAnswer{BindUDPRelayEndpointCommon: challenge.BindUDPRelayEndpointCommon}))
	return err
}

// roundTrip sends a datagram until one comes that is wanted.
func roundTrip(from, to net.Conn, datagram []byte, wanted func([]byte) bool) error {
	buf := make([]byte, 1500)
	for range udpTries {
		if _, err := from.Write(datagram); err != nil {
			return err
		}
		if err := to.SetReadDeadline(time.Now().Add(udpTry)); err != nil {
			return err
		}
		for {
			n, err := to.Read(buf)
			if err != nil { // also that nobody listens
				break
			}
			if wanted(buf[:n]) {
				return nil
			}
		}
	}
	return errSilentUDP
}

// geneve is what stands before each datagram of a session.
func geneve(vni uint32, protocol uint16, control bool) []byte {
	h := packet.GeneveHeader{Control: control, Protocol: protocol}
	h.VNI.Set(vni)
	b := make([]byte, packet.GeneveFixedHeaderLength)
	_ = h.Encode(b) // it is long enough
	return b
}

func sealDisco(from key.DiscoPrivate, to key.DiscoPublic, m disco.Message) []byte {
	return append(from.Public().AppendTo([]byte(disco.Magic)), from.Shared(to).Seal(m.AppendMarshal(nil))...)
}

// openDisco opens what was sealed by another; nil if it was not.
func openDisco(to key.DiscoPrivate, from key.DiscoPublic, frame []byte) disco.Message {
	if _, ok := disco.Source(frame); !ok {
		return nil
	}
	plain, ok := to.Shared(from).Open(frame[len(disco.Magic)+key.DiscoPublicRawLen:])
	if !ok {
		return nil
	}
	m, err := disco.Parse(plain)
	if err != nil {
		return nil
	}
	return m
}
