package derp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"go4.org/mem"
	"tailscale.com/derp"
	"tailscale.com/disco"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// requestsEach is how many sessions a node may ask for in a second: a node of
// hundreds of peers that wakes up. A session that nobody takes up lives for 30 s.
const requestsEach = 100

// socketsMost bounds the sockets of a UDP relay, of which each has a goroutine.
const socketsMost = 16

// errorPause keeps a socket that errs again and again from taking a core.
const errorPause = 5 * time.Millisecond

// UDPRelayInfo is what nodes have to know to be relayed over UDP.
type UDPRelayInfo struct {
	Port uint16
	// Key is by which the UDP relay is found on DERP, and DiscoKey what it is spoken
	// to by.
	Key, DiscoKey [32]byte
}

// udpRelay passes datagrams on between pairs of nodes that asked for it. They ask over
// DERP, which lets in only whom the coordinator vouches for, and knows by which key;
// there it is a client like any other.
type udpRelay struct {
	sockets  []*udpSocket
	passages *passages
	counts   *udpCounts
	port     uint16
	key      key.NodePrivate
	disco    key.DiscoPrivate
	log      *slog.Logger
	asked    *often[key.NodePublic]
	conn     net.Conn // to DERP; nil before it is joined
	end      func()   // ends what forgets sessions
	wg       sync.WaitGroup
}

// newUDPRelay listens on a UDP address, on all of the host's if it names none. The
// relay's own DERP has to let its key in before it is joined.
func newUDPRelay(addr string, log *slog.Logger) (*udpRelay, error) {
	u := &udpRelay{
		key: key.NewNode(), disco: key.NewDisco(), log: log, counts: newUDPCounts(log),
		asked: newOften[key.NodePublic](requestsEach, maxSources),
	}
	u.passages = newPassages(u.disco)
	var err error
	if u.sockets, err = listenUDPRelay(addr, min(runtime.GOMAXPROCS(0), socketsMost)); err != nil {
		return nil, err
	}
	u.port = portOf(u.sockets[0].conn)
	for _, s := range u.sockets {
		u.wg.Go(func() { u.carry(s) })
	}
	ctx, end := context.WithCancel(context.Background())
	u.end = end
	u.wg.Go(func() { u.forget(ctx) })
	return u, nil
}

// carry passes on what comes by a socket until that is closed. Other errors pass, as when
// the kernel has no memory: who is dealt to this socket has no other.
func (u *udpRelay) carry(s *udpSocket) {
	var out []bundle
	for {
		in, lost, err := s.read()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			u.counts.fail(err)
			<-time.After(errorPause)
			continue
		}
		u.counts.dropped.Add(int64(lost))
		now := time.Now()
		out = out[:0]
		for _, b := range in {
			out = u.passages.pass(b, now, out, u.counts)
		}
		if s.write(out) != nil {
			return
		}
	}
}

// forget drops sessions that have ended, until ctx is done.
func (u *udpRelay) forget(ctx context.Context) {
	tick := time.NewTicker(bindWithin)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			u.passages.forget(now)
		case <-ctx.Done():
			return
		}
	}
}

// portIn is the port of an address, of which nothing else counts.
func portIn(addr string) (uint16, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return 0, err
	}
	return at.AddrPort().Port(), nil
}

func portOf(conn *net.UDPConn) uint16 { return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

func (u *udpRelay) info() UDPRelayInfo {
	return UDPRelayInfo{u.port, [32]byte(u.key.Public().AppendTo(nil)), [32]byte(u.disco.Public().AppendTo(nil))}
}

// join becomes a client of the relay's DERP, and answers what is asked there.
func (u *udpRelay) join(board *switchboard) error {
	near, far := net.Pipe()
	if err := board.enter(far); err != nil {
		return errors.Join(err, near.Close(), far.Close())
	}
	u.conn = near
	u.wg.Go(func() { // ends with the connection
		defer board.leave(far)
		board.serve(far, nil, nil, "127.0.0.1:0")
	})
	client, err := derp.NewClient(u.key, near, bufio.NewReadWriter(bufio.NewReader(near), bufio.NewWriter(near)), logger.Discard)
	if err != nil {
		return fmt.Errorf("join DERP: %w", err)
	}
	u.wg.Go(func() { u.serve(client) })
	return nil
}

func (u *udpRelay) serve(client *derp.Client) {
	for {
		m, err := client.Recv()
		if err != nil {
			u.log.Debug("the UDP relay has left DERP", "err", err)
			return
		}
		if got, ok := m.(derp.ReceivedPacket); ok && u.asked.may(got.Source, time.Now()) {
			if answer := u.answer(got.Source, got.Data); answer != nil {
				if err := client.Send(got.Source, answer); err != nil {
					return
				}
			}
		}
	}
}

// answer returns the answer to a node's request for a session, nil to anything else.
func (u *udpRelay) answer(from key.NodePublic, frame []byte) []byte {
	raw, ok := disco.Source(frame)
	if !ok {
		return nil
	}
	sender := key.DiscoPublicFromRaw32(mem.B(raw))
	shared := u.disco.Shared(sender)
	plain, ok := shared.Open(frame[len(disco.Magic)+key.DiscoPublicRawLen:])
	if !ok {
		return nil
	}
	msg, err := disco.Parse(plain)
	ask, ok := msg.(*disco.AllocateUDPRelayEndpointRequest)
	if err != nil || !ok || ask.ClientDisco[0] == ask.ClientDisco[1] || sender != ask.ClientDisco[0] && sender != ask.ClientDisco[1] {
		return nil
	}
	got, err := u.passages.open(ask.ClientDisco[0], ask.ClientDisco[1], from, time.Now())
	if err != nil {
		u.log.Debug("a UDP session was refused", "node", from.ShortString(), "err", err)
		return nil
	}
	offer := &disco.AllocateUDPRelayEndpointResponse{Generation: ask.Generation, UDPRelayEndpoint: disco.UDPRelayEndpoint{
		ServerDisco: u.disco.Public(), ClientDisco: got.ends, LamportID: got.order, VNI: got.number,
		BindLifetime: bindWithin, SteadyStateLifetime: silentFor,
		// Nodes take the address from the map; others want one.
		AddrPorts: []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), u.port)},
	}}
	out := u.disco.Public().AppendTo([]byte(disco.Magic))
	return append(out, shared.Seal(offer.AppendMarshal(nil))...)
}

// open is how many sessions have both their ends.
func (u *udpRelay) open() int {
	_, bound := u.passages.live(time.Now())
	return bound
}

// close ends all sessions.
func (u *udpRelay) close() error {
	u.end()
	var err error
	for _, s := range u.sockets {
		err = errors.Join(err, s.conn.Close())
	}
	if u.conn != nil {
		err = errors.Join(err, u.conn.Close())
	}
	u.wg.Wait()
	return err
}
