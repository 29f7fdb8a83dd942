package derp

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"

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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := t.client(r.priv, new(Probed))
	if err != nil {
		return err
	}
	defer c.Close()
	// The library's loop looks at its context when a message comes.
	defer context.AfterFunc(ctx, func() { c.Close() })()
	c.MeshKey, c.WatchConnectionChanges = secret, true
	var mu sync.Mutex // the library says nothing of who calls
	there := make(map[key.NodePublic]bool)
	c.RunWatchConnectionLoop(ctx, r.priv.Public(), nil,
		func(m derp.PeerPresentMessage) {
			mu.Lock()
			defer mu.Unlock()
			there[m.Key] = true
			r.board.addBeyond(m.Key, c)
		},
		func(m derp.PeerGoneMessage) {
			mu.Lock()
			defer mu.Unlock()
			if there[m.Peer] {
				delete(there, m.Peer)
				r.board.removeBeyond(m.Peer, c)
			}
		},
		func(err error) { cancel(err) }) // the library waits for five seconds
	mu.Lock()
	defer mu.Unlock()
	for k := range there {
		r.board.removeBeyond(k, c)
	}
	return context.Cause(ctx)
}
