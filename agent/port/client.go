package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// helloEvery is how often a client shows where its datagrams come from until the
	// agent has heard it.
	helloEvery = 200 * time.Millisecond

	// aliveEvery is how often it shows that it is there from then on. An agent that
	// has started anew answers that it knows of nothing, and a packet filter that
	// saw nothing of a flow for some time would let nothing in.
	aliveEvery = 10 * time.Second
)

// Client asks an agent's [Server] to forward.
type Client struct {
	// Dial connects to the server over TCP or UDP.
	Dial func(ctx context.Context, network string) (net.Conn, error)
}

// ask makes a request on a connection of its own and returns that with the answer.
func (c *Client) ask(ctx context.Context, req request) (net.Conn, answer, error) {
	var a answer
	conn, err := c.Dial(ctx, TCP)
	if err != nil {
		return nil, a, fmt.Errorf("the agent does not forward; it may be older than this program: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = conn.SetDeadline(time.Now().Add(answerTimeout))
	if err == nil {
		err = writeLine(conn, req)
	}
	if err == nil {
		err = readLine(conn, &a)
	}
	if err == nil && a.Error != "" {
		err = &RefusedError{a.Error}
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, a, err
	}
	return conn, a, nil
}

// List returns what listens in the workspace.
func (c *Client) List(ctx context.Context) ([]Listening, error) {
	conn, a, err := c.ask(ctx, request{Do: doList})
	if err != nil {
		return nil, err
	}
	conn.Close()
	return a.Listening, nil
}

// DialUnix connects to a unix socket of the workspace.
func (c *Client) DialUnix(ctx context.Context, path string) (net.Conn, error) {
	conn, _, err := c.ask(ctx, request{Do: doUnix, Address: path})
	return conn, err
}

// Datagrams is a socket of this machine whose datagrams go to a workspace, from
// one session to the next. Close closes it.
type Datagrams struct{ flows *beginning }

// NewDatagrams carries what comes to a socket.
func NewDatagrams(socket net.PacketConn) *Datagrams { return &Datagrams{begin(socket)} }

// Close closes the socket.
func (d *Datagrams) Close() { d.flows.close() }

// ForwardUDP has datagrams go to a port of the workspace until ctx ends or the
// session does. It calls ready once it does, and refused when nothing listens there.
func (c *Client) ForwardUDP(ctx context.Context, from *Datagrams, to uint16, ready, refused func()) error {
	defer from.flows.via.Store(nil)
	return c.hold(ctx, request{Do: doUDP, Port: to}, func(answer) { ready() }, func(via *carrier) (flowEnd, func()) {
		from.flows.via.Store(via)
		return from.flows, func() {}
	}, func(n notice) {
		if n.Refused {
			refused()
		}
	})
}

// Reverse is something that listens in the workspace and leads here.
type Reverse struct {
	// Network is TCP, UDP or Unix, and Address where to listen.
	Network, Address string
	// Dial connects to where it leads to; DialUDP does for UDP.
	Dial    func(ctx context.Context) (net.Conn, error)
	DialUDP func() (*net.UDPConn, error)
	// Ready is called when it listens.
	Ready func(address string)
	// Failed is called when it leads nowhere.
	Failed func(err error)
}

// Listen has the agent listen until ctx ends or the session does.
func (c *Client) Listen(ctx context.Context, r Reverse) error {
	req := request{Do: doListen, Network: r.Network, Address: r.Address}
	ready := func(a answer) { r.Ready(a.Address) }
	if r.Network == UDP {
		return c.hold(ctx, req, ready, func(via *carrier) (flowEnd, func()) {
			flows := lead(r.DialUDP, via, func() { r.Failed(errors.New("nothing listens there")) })
			return flows, flows.close
		}, func(notice) {})
	}
	var session uint32
	var taken sync.WaitGroup
	defer taken.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return c.hold(ctx, req, func(a answer) {
		session = a.Session
		ready(a)
	}, nil, func(n notice) {
		if n.Accepted != 0 {
			taken.Go(func() { c.take(ctx, r, session, n.Accepted) })
		}
	})
}

// take carries a connection that the agent accepted to where it leads.
func (c *Client) take(ctx context.Context, r Reverse, session, id uint32) {
	local, err := r.Dial(ctx)
	if err != nil {
		r.Failed(err)
		if conn, _, err := c.ask(ctx, request{Do: doRefuse, Session: session, ID: id}); err == nil {
			conn.Close()
		}
		return
	}
	conn, _, err := c.ask(ctx, request{Do: doTake, Session: session, ID: id})
	if err != nil {
		local.Close()
		r.Failed(err)
		return
	}
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		local.Close()
	})
	defer stop()
	Join(local, conn)
}

// hold asks for something that holds as long as the connection. flows makes the end
// of its datagrams, if it has any, and what closes that.
func (c *Client) hold(ctx context.Context, req request, answered func(answer), flows func(*carrier) (flowEnd, func()), told func(notice)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var packets net.Conn
	if flows != nil {
		var err error
		if packets, err = c.Dial(ctx, UDP); err != nil {
			return err
		}
		defer packets.Close()
		at, err := netip.ParseAddrPort(packets.LocalAddr().String())
		if err != nil {
			return fmt.Errorf("port: own address: %w", err)
		}
		req.Source = at.Port()
	}
	conn, a, err := c.ask(ctx, req)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	heard := make(chan struct{})
	var carrying sync.WaitGroup
	defer carrying.Wait()
	defer cancel()
	if flows != nil {
		via := &carrier{session: a.Session, send: func(packet []byte) error { _, err := packets.Write(packet); return err }}
		end, closeFlows := flows(via)
		carrying.Go(func() { receiveAll(packets, via, end) })
		carrying.Go(func() { hello(ctx, via, heard) })
		defer closeFlows()
		defer packets.Close()
	}
	carrying.Go(func() { showAlive(ctx, conn) })
	answered(a)
	for {
		var n notice
		if err := readLine(conn, &n); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the agent ended it: %w", err)
		}
		if n.Heard && !isClosed(heard) {
			close(heard)
		}
		told(n)
	}
}

// showAlive shows the agent that the client is there, until ctx ends.
func showAlive(ctx context.Context, conn net.Conn) {
	every := time.NewTicker(aliveEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if _, err := conn.Write([]byte{'\n'}); err != nil {
			return // the reader sees why
		}
	}
}

// hello shows the agent where the client's datagrams come from, and keeps the way
// back open.
func hello(ctx context.Context, via *carrier, heard <-chan struct{}) {
	every := time.NewTicker(helloEvery)
	defer every.Stop()
	for {
		_ = via.put(helloFlow, nil) // the next one may come through
		select {
		case <-ctx.Done():
			return
		case <-heard:
			every.Reset(aliveEvery)
			heard = nil
		case <-every.C:
		}
	}
}

// receiveAll takes the agent's datagrams until the socket is closed.
func receiveAll(packets net.Conn, via *carrier, end flowEnd) {
	buf := make([]byte, 2*(headerLen+pieceLen))
	for failures := 0; failures < maxFailures; {
		n, err := packets.Read(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
			return
		}
		if failures++; err != nil {
			continue
		}
		failures = 0
		h, data, err := parsePiece(buf[:n])
		if err != nil || h.session != via.session {
			continue
		}
		if datagram := via.came(h, data); datagram != nil {
			end.deliver(h.flow, datagram)
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
