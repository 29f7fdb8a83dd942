package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/tunnel/path"
)

const (
	// protocolVersion is the newest control protocol that this node speaks, and
	// oldestProtocol the oldest.
	protocolVersion = 1
	oldestProtocol  = 1

	// A broken control session is made anew after a pause that doubles. The
	// longest is half of what an agent has to be back in after a restart of
	// the coordinator.
	controlRetryMin = 250 * time.Millisecond
	controlRetryMax = 4 * time.Second

	// controlHealthyAfter is how long a session must have held for its end to
	// start from controlRetryMin again: a coordinator that accepts and drops
	// at once must not be hammered.
	controlHealthyAfter = 20 * time.Second

	// controlDialTimeout bounds one attempt.
	controlDialTimeout = 10 * time.Second

	// controlAnswersIn is how long the coordinator may take to answer a ping
	// after this machine's network has changed: it is on the same planet.
	controlAnswersIn = time.Second

	// byeTimeout is how long a closing node waits to have said bye.
	byeTimeout = time.Second
)

// runControl keeps a control session up until ctx is done, the node is
// closing, or the coordinator refuses for good.
func (n *Node) runControl(ctx context.Context) {
	defer close(n.done)
	pause := controlRetryMin
	for {
		began := time.Now()
		err := n.controlSession(ctx)
		n.loseAll()
		n.mu.Lock()
		closing, joined := n.closing, n.joined
		n.mu.Unlock()
		switch {
		case closing || ctx.Err() != nil:
			n.end(ErrClosed)
			return
		case isFatal(err), !joined && !n.cfg.Persist:
			n.end(err)
			return
		}
		if time.Since(began) > controlHealthyAfter {
			pause = controlRetryMin
		}
		event := "control session ended; tunnels stay up"
		if !joined {
			event = "not joined yet; trying again"
		}
		n.log.Info(event, "err", err, "retry_in", pause)
		select {
		case <-ctx.Done():
		case <-n.closed:
		case <-n.moved:
			pause = controlRetryMin
			continue
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, controlRetryMax)
	}
}

func (n *Node) end(err error) {
	n.mu.Lock()
	n.err = err
	n.changedLocked()
	n.mu.Unlock()
}

// isFatal reports whether no retry can heal err.
func isFatal(err error) bool {
	return errors.Is(err, ErrReplaced) || errors.Is(err, ErrRevoked) || errors.Is(err, ErrRefused) ||
		errors.Is(err, rpc.ErrUnauthorized)
}

// controlSession is one session, from dial to its end.
func (n *Node) controlSession(ctx context.Context) error {
	cc, err := n.dialControl(ctx)
	if err != nil {
		return fmt.Errorf("tunnel: %w", err)
	}
	defer cc.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		n.watchControl(ctx, cc)
	}()
	defer func() {
		cancel()
		<-watched
	}()
	stream, err := meshv1.NewMeshClient(cc).Connect(ctx)
	if err != nil {
		return fmt.Errorf("tunnel: open control session: %w", err)
	}
	disco := n.bind.DiscoKey()
	n.mu.Lock()
	hello := &meshv1.Hello{
		Protocol: protocolVersion, OldestProtocol: oldestProtocol, PublicKey: n.pub[:], DiscoKey: disco[:],
		ResumeToken: n.resume, Version: n.cfg.Version, Client: n.cfg.OfWorkspace,
	}
	n.mu.Unlock()
	// An error of Send is told better by Recv.
	_ = stream.Send(&meshv1.Up{Msg: &meshv1.Up_Hello{Hello: hello}})

	welcomed := make(chan struct{})
	spoken := make(chan struct{})
	go func() {
		defer close(spoken)
		select {
		case <-welcomed:
			n.speak(ctx, stream)
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-spoken
	}()

	for {
		down, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("closed by the coordinator")
			}
			return fmt.Errorf("tunnel: control session: %w", err)
		}
		if err := n.onDown(down); err != nil {
			return err
		}
		if down.GetWelcome() != nil && !isClosed(welcomed) {
			close(welcomed)
		}
	}
}

// dialControl connects. A dial that began on another network is given up.
func (n *Node) dialControl(ctx context.Context) (*rpc.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, controlDialTimeout)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
		case <-n.moved:
			n.networkChanged() // and the next one follows at once
			cancel()
		}
	}()
	defer func() {
		cancel()
		<-watched
	}()
	token := n.cfg.Token
	if n.cfg.Renew != nil {
		var err error
		if token, err = n.cfg.Renew(ctx); err != nil {
			return nil, err
		}
	}
	return rpc.Dial(ctx, rpc.DialConfig{
		URL: n.cfg.URL, Path: "/rpc/v1/node", Token: token, HTTPClient: n.cfg.HTTPClient,
		Ping: n.cfg.Ping, Timeout: n.cfg.Timeout,
	})
}

// watchControl ends a connection that does not survive a change of the network,
// until ctx is done.
func (n *Node) watchControl(ctx context.Context, cc *rpc.Client) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.moved:
		}
		if at := cc.LocalAddr(); !at.IsValid() || path.IsLocal(at) {
			answered, cancel := context.WithTimeout(ctx, controlAnswersIn)
			err := cc.Ping(answered)
			cancel()
			if err == nil {
				continue
			}
		}
		if ctx.Err() == nil {
			n.networkChanged() // dial anew at once
			cc.Abandon()
		}
		return
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

// onDown does what the coordinator says. An error ends the session.
func (n *Node) onDown(down *meshv1.Down) error {
	switch m := down.GetMsg().(type) {
	case *meshv1.Down_Welcome:
		return n.onWelcome(m.Welcome)
	case *meshv1.Down_Relays:
		n.bind.SetRegions(m.Relays.GetPinned(), m.Relays.GetExcluded())
		n.bind.SetRelays(relaysFromProto(m.Relays, n.cfg.URL))
	case *meshv1.Down_Policy:
		n.mu.Lock()
		n.policies[m.Policy.GetPeer()] = m.Policy.GetAllow()
		if p := n.peers[m.Policy.GetPeer()]; p != nil {
			n.updateLayersLocked(p, true)
		}
		n.mu.Unlock()
	case *meshv1.Down_Peer:
		if err := n.applyPeer(m.Peer); err != nil {
			n.log.Warn("peer not taken", "err", err)
		}
	case *meshv1.Down_Error:
		return n.onError(m.Error)
	}
	return nil // a message of a later version
}

func (n *Node) onWelcome(w *meshv1.Welcome) error {
	// A coordinator of before there was a choice speaks 1.
	if v := max(w.GetProtocol(), 1); v < oldestProtocol || v > protocolVersion {
		return fmt.Errorf("tunnel: %w: the coordinator chose protocol version %d, which is not spoken here", ErrRefused, v)
	}
	addr, err := netip.ParseAddr(w.GetAddress())
	if err != nil {
		return fmt.Errorf("tunnel: address from the coordinator: %w", err)
	}
	if n.stack != nil {
		if err := n.stack.SetAddress(addr); err != nil {
			return fmt.Errorf("tunnel: %w", err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.id, n.name, n.addr, n.resume, n.joined = w.GetNodeId(), w.GetName(), addr, w.GetResumeToken(), true
	n.filter.setSelf(addr)
	if n.cfg.Addressed != nil {
		n.cfg.Addressed(addr)
	}
	n.changedLocked()
	n.log.Info("joined the mesh", "node", n.id, "name", n.name, "address", addr)
	return nil
}

func (n *Node) onError(e *meshv1.Error) error {
	switch e.GetCode() {
	case meshv1.Error_PEER_NOT_FOUND:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.refused[e.GetPeer()] = e.GetMessage()
		n.changedLocked()
		return nil
	case meshv1.Error_UNAVAILABLE:
		if e.GetPeer() == "" {
			break
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.askLater[e.GetPeer()] = true
		return nil
	case meshv1.Error_REPLACED:
		return fmt.Errorf("tunnel: %w: %s", ErrReplaced, e.GetMessage())
	case meshv1.Error_REVOKED:
		return fmt.Errorf("tunnel: %w: %s", ErrRevoked, e.GetMessage())
	case meshv1.Error_KEY_IN_USE, meshv1.Error_BAD_MESSAGE, meshv1.Error_BAD_VERSION:
		return fmt.Errorf("tunnel: %w: %s", ErrRefused, e.GetMessage())
	}
	return fmt.Errorf("tunnel: coordinator: %s", e.GetMessage())
}

// relaysFromProto reads the relay map. A relay without a URL is the one that
// is embedded in the coordinator: at is how this node reaches that.
func relaysFromProto(m *meshv1.Relays, at *url.URL) []path.Region {
	var regions []path.Region
	for _, r := range m.GetRegions() {
		region := path.Region{ID: r.GetId(), Code: r.GetCode(), Name: r.GetName()}
		for _, relay := range r.GetRelays() {
			u := relay.GetUrl()
			if u == "" {
				u = (&url.URL{Scheme: at.Scheme, Host: at.Host}).String()
			}
			ports := make([]uint16, 0, len(relay.GetStunPorts()))
			for _, p := range relay.GetStunPorts() {
				ports = append(ports, uint16(p))
			}
			known := path.Relay{Name: relay.GetName(), URL: u, STUNPorts: ports, CertPin: relay.GetCertName()}
			if p := relay.GetUdp(); len(p.GetKey()) == 32 && len(p.GetDiscoKey()) == 32 {
				known.UDP = path.UDPRelay{Port: uint16(p.GetPort()), Key: [32]byte(p.GetKey()), DiscoKey: [32]byte(p.GetDiscoKey())}
			}
			region.Relays = append(region.Relays, known)
		}
		regions = append(regions, region)
	}
	return regions
}

func natFromProto(nat meshv1.NAT) path.NAT {
	switch nat {
	case meshv1.NAT_NAT_EASY:
		return path.NATEasy
	case meshv1.NAT_NAT_HARD:
		return path.NATHard
	case meshv1.NAT_NAT_UDP_BLOCKED:
		return path.NATBlocked
	default:
		return path.NATUnknown
	}
}

func natToProto(nat path.NAT) meshv1.NAT {
	switch nat {
	case path.NATEasy:
		return meshv1.NAT_NAT_EASY
	case path.NATHard:
		return meshv1.NAT_NAT_HARD
	case path.NATBlocked:
		return meshv1.NAT_NAT_UDP_BLOCKED
	default:
		return meshv1.NAT_NAT_UNKNOWN
	}
}
