package derp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
)

// A relay forwards packets for nodes that are connected to another of its region: it
// watches who is there, over a connection of its own to each. The coordinator says
// which others there are, and the key by which they know each other.

const (
	// A connection to another relay is made anew after a pause that doubles. It is
	// short at first: of two that begin together, one has the key before the other.
	meshRetryMin = 50 * time.Millisecond
	meshRetryMax = 2 * time.Second
)

// mesh keeps a relay connected to the others of its region. Its methods are called by
// one goroutine at a time.
type mesh struct {
	relay *Relay
	log   *slog.Logger
	key   string
	peers map[string]*meshPeer // by what of a Sibling makes another connection
}

// meshPeer is another relay and the goroutine that watches it.
type meshPeer struct {
	stop context.CancelFunc
	done chan struct{}
}

func newMesh(r *Relay, log *slog.Logger) *mesh {
	return &mesh{relay: r, log: log, peers: make(map[string]*meshPeer)}
}

// set connects to these relays and no others.
func (m *mesh) set(s *relayv1.Siblings) error {
	secret, err := key.ParseDERPMesh(s.GetMeshKey())
	if err != nil {
		return fmt.Errorf("the region's key: %w", err)
	}
	if m.key != s.GetMeshKey() {
		m.keep(nil)
		m.relay.board.setMeshKey(secret)
		m.key = s.GetMeshKey()
	}
	wanted := make(map[string]bool)
	for _, other := range s.GetRelays() {
		u, err := url.Parse(other.GetUrl())
		if err != nil || bytes.Equal(other.GetPublicKey(), m.relay.publicKey()) {
			continue // the coordinator has looked at it; or it is this one
		}
		id := other.GetUrl() + " " + other.GetCertName() + " " + hex.EncodeToString(other.GetPublicKey())
		wanted[id] = true
		if m.peers[id] != nil {
			continue
		}
		ctx, stop := context.WithCancel(context.Background())
		p := &meshPeer{stop: stop, done: make(chan struct{})}
		m.peers[id] = p
		go func() {
			defer close(p.done)
			m.relay.watch(ctx, Target{URL: u, CertName: other.GetCertName()}, secret, m.log.With("relay", other.GetName()))
		}()
	}
	m.keep(wanted)
	return nil
}

// keep ends the connections to all others.
func (m *mesh) keep(wanted map[string]bool) {
	var ended []*meshPeer
	for id, p := range m.peers {
		if !wanted[id] {
			p.stop()
			ended = append(ended, p)
			delete(m.peers, id)
		}
	}
	for _, p := range ended {
		<-p.done
	}
}

// watch forwards packets for whoever is connected to another relay, until ctx is done.
func (r *Relay) watch(ctx context.Context, t Target, secret key.DERPMesh, log *slog.Logger) {
	for pause := meshRetryMin; ctx.Err() == nil; pause = min(2*pause, meshRetryMax) {
		began := time.Now()
		err := r.watchOnce(ctx, t, secret)
		if ctx.Err() != nil {
			return
		}
		log.Debug("connection to a relay of the region ended", "err", err, "retry_in", pause)
		if time.Since(began) > meshRetryMax {
			pause = meshRetryMin
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// watchOnce is one connection.
func (r *Relay) watchOnce(ctx context.Context, t Target, secret key.DERPMesh) error {
	conn, from, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { cut(conn) })() // what is under way ends

	at, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // it is one
	to := newLine(r.board, conn, key.NodePublic{}, derp.ClientInfo{}, at)
	to.onward, to.sibling = true, true
	defer to.out.close()
	defer conn.Close() // or what is being written keeps that
	// What the library says goes between batches.
	c, err := derp.NewClient(r.priv, conn, bufio.NewReadWriter(from, bufio.NewWriterSize(controls{&to.out}, maxControl)), logger.Discard, derp.MeshKey(secret))
	if err != nil {
		return err
	}
	if c.ServerPublicKey() == r.priv.Public() {
		return errors.New("the relay is this one")
	}
	if err := c.WatchConnectionChanges(); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	there := make(map[key.NodePublic]bool)
	to.current.Store(true)
	r.board.addOnward(c.ServerPublicKey(), to)
	defer func() {
		to.current.Store(false)
		r.board.removeOnward(c.ServerPublicKey(), to)
		for k := range there {
			r.board.removeBeyond(k, to)
		}
	}()
	for {
		m, err := c.Recv()
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		switch m := m.(type) {
		case derp.PeerPresentMessage:
			there[m.Key] = true
			r.board.addBeyond(m.Key, to)
		case derp.PeerGoneMessage:
			if there[m.Peer] {
				delete(there, m.Peer)
				r.board.removeBeyond(m.Peer, to)
			}
		case derp.PingMessage:
			if err := c.SendPong(m); err != nil {
				return err
			}
		}
	}
}

// maxControl is longer than any frame that a relay sends another beside packets.
const maxControl = 4 << 10

// controls is a writer of whole frames that are no packets.
type controls struct{ to *outbox }

func (c controls) Write(frames []byte) (int, error) {
	c.to.control(frames)
	return len(frames), nil
}
