package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aditmesh/adit/bench/role"
)

const (
	// batchBytes is how much a sender has under way at once at the most: what the
	// kernel takes as one datagram.
	batchBytes = 60 << 10

	// warmUp is how long a flood runs before it counts.
	warmUp = 300 * time.Millisecond

	// busyReading and idleReading are the buffers of clients, in bytes.
	busyReading, idleReading = 64 << 10, 2 << 10

	// dialing is how many clients connect at once.
	dialing = 16

	// pongLasts is how long the last answer is waited for, and pingSize how long it is.
	pongLasts = time.Second
	pingSize  = 64
)

// bare plays clients of a relay that have no node behind them: pairs of which one
// sends and the other counts.
func bare(ctx context.Context, conf role.Config, v *role.Voice) error {
	if err := v.Say(role.Ready{}); err != nil {
		return err
	}
	b := &bareClients{conf: conf}
	defer b.endIdle()
	for {
		r, err := v.Listen()
		if err != nil {
			return err
		}
		var got role.Reply
		switch r.Do {
		case "flood":
			got, err = b.flood(ctx, r)
		case "ping":
			got, err = b.pings(ctx, r)
		case "idle":
			err = b.idle(ctx, r.Count)
		default:
			err = fmt.Errorf("nobody knows how to %q", r.Do)
		}
		if err != nil {
			got.Error = err.Error()
		}
		if err := v.Say(got); err != nil {
			return err
		}
	}
}

type bareClients struct {
	conf   role.Config
	idling []*derpClient
}

// lane is one pair: how its one end sends n packets, and its other counts them.
type lane struct {
	most  int // packets at once
	send  func(n int) error
	count func(arrived *atomic.Int64)
	close func()
}

// lane connects a pair for packets of a size.
func (b *bareClients) lane(ctx context.Context, size int) (lane, error) {
	if b.conf.UDPPort != 0 {
		ends, err := dialUDP(ctx, b.conf)
		if err != nil {
			return lane{}, err
		}
		if err := ends[1].set(unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
			return lane{}, err
		}
		wire := size + len(ends[0].header(0, false))
		most := min(segments, batchBytes/wire)
		all, oob := ends[0].datagrams(size, most), segmentEach(wire)
		return lane{
			most: most, count: ends[1].count,
			send: func(n int) error {
				_, _, err := ends[0].conn.WriteMsgUDPAddrPort(all[:n*wire], oob, netip.AddrPort{})
				return err
			},
			close: func() { ends[0].close(); ends[1].close() },
		}, nil
	}
	var ends [2]*derpClient
	for i := range ends {
		var err error
		if ends[i], err = dialDERP(ctx, b.conf.Relay, busyReading); err != nil {
			return lane{}, err
		}
	}
	one := len(frames(ends[1].key.Public(), size, 1))
	most := batchBytes / one
	all := frames(ends[1].key.Public(), size, most)
	return lane{
		most: most, count: ends[1].count,
		send: func(n int) error {
			_, err := ends[0].conn.Write(all[:n*one])
			return err
		},
		close: func() { ends[0].conn.Close(); ends[1].conn.Close() },
	}, nil
}

// flood has pairs send at a rate that they share, and tells what of it was sent and
// what arrived.
func (b *bareClients) flood(ctx context.Context, r role.Request) (got role.Reply, err error) {
	if b.conf.UDPPort != 0 { // else what is idle pays for it, too
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	}
	var lanes []lane
	var counting, sending sync.WaitGroup
	defer func() {
		for _, l := range lanes {
			l.close()
		}
		counting.Wait()
	}()
	var sent, arrived atomic.Int64
	for range r.Streams {
		l, err := b.lane(ctx, r.Size)
		if err != nil {
			return got, err
		}
		lanes = append(lanes, l)
		counting.Go(func() { l.count(&arrived) })
	}
	stop := make(chan struct{})
	failed := make([]error, len(lanes))
	for i, l := range lanes {
		sending.Go(func() {
			failed[i] = paced(float64(r.Rate)/float64(r.Streams), l.most, stop, func(n int) error {
				err := l.send(n)
				sent.Add(int64(n))
				return err
			})
		})
	}
	<-time.After(warmUp)
	began, sentBefore, arrivedBefore := time.Now(), sent.Load(), arrived.Load()
	<-time.After(r.Lasts)
	got = role.Reply{Sent: sent.Load() - sentBefore, Packets: arrived.Load() - arrivedBefore, Seconds: time.Since(began).Seconds()}
	close(stop)
	// Who waits to write does so until its connection is closed.
	late := time.AfterFunc(r.Lasts, func() {
		for _, l := range lanes {
			l.close()
		}
	})
	sending.Wait()
	if late.Stop() {
		err = errors.Join(failed...)
	}
	return got, err
}

// pings measures round trips: a packet to the other end of a pair, and one back.
func (b *bareClients) pings(ctx context.Context, r role.Request) (got role.Reply, err error) {
	ping, until, end, err := b.pinger(ctx)
	if err != nil {
		return got, err
	}
	defer end()
	// What an end says of itself may be read behind the first packet to it.
	for try, err := 0, errors.New("untried"); err != nil && try < bindTries; try++ {
		if err := until(time.Now().Add(pongLasts)); err != nil {
			return got, err
		}
		err = ping()
	}
	// One for all, so that to set it is not measured.
	if err := until(time.Now().Add(time.Duration(r.Count)*r.Interval + pongLasts)); err != nil {
		return got, err
	}
	tick := time.NewTicker(r.Interval)
	defer tick.Stop()
	for range r.Count {
		began := time.Now()
		if err := ping(); err != nil {
			return got, err
		}
		got.RTTs = append(got.RTTs, time.Since(began))
		<-tick.C
	}
	return got, nil
}

// pinger connects a pair of which one end sends everything back, and returns what
// sends the other's packet and waits for it, until a time.
func (b *bareClients) pinger(ctx context.Context) (ping func() error, until func(time.Time) error, end func(), err error) {
	if b.conf.UDPPort != 0 {
		ends, err := dialUDP(ctx, b.conf)
		if err != nil {
			return nil, nil, nil, err
		}
		go func() { // ends with its socket
			buf := make([]byte, 2048)
			for {
				n, err := ends[1].quick.Read(buf)
				if err != nil {
					return
				}
				_, _ = ends[1].quick.Write(buf[:n]) // the other end misses it
			}
		}()
		out, in := ends[0].datagrams(pingSize, 1), make([]byte, 2048)
		return func() error {
			if _, err := ends[0].quick.Write(out); err != nil {
				return err
			}
			_, err := ends[0].quick.Read(in)
			return err
		}, ends[0].conn.SetReadDeadline, func() { closeAll(ends[0].conn, ends[1].conn) }, nil
	}
	var ends [2]*derpClient
	for i := range ends {
		if ends[i], err = dialDERP(ctx, b.conf.Relay, busyReading); err != nil {
			return nil, nil, nil, err
		}
	}
	go func() { // ends with its connection
		for {
			p, err := ends[1].next()
			if err != nil || ends[1].client.Send(p.Source, p.Data) != nil {
				return
			}
		}
	}()
	out := make([]byte, pingSize)
	return func() error {
		if err := ends[0].client.Send(ends[1].key.Public(), out); err != nil {
			return err
		}
		_, err := ends[0].next()
		return err
	}, ends[0].conn.SetReadDeadline, func() { closeAll(ends[0].conn, ends[1].conn) }, nil
}

func closeAll(conns ...net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// idle has so many clients be connected that say nothing.
func (b *bareClients) idle(ctx context.Context, n int) error {
	b.endIdle()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	turns := make(chan struct{}, dialing)
	for range n {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			c, err := dialDERP(ctx, b.conf.Relay, idleReading)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			b.idling = append(b.idling, c)
		})
	}
	wg.Wait()
	return failed
}

func (b *bareClients) endIdle() {
	for _, c := range b.idling {
		c.conn.Close()
	}
	b.idling = nil
}
