// Package relays knows the regional relays: which there are, which of them are
// here, and the map of them that nodes get.
//
// A relay joins with its token and is in the map for as long as its session lasts,
// and a little longer, so that a stream that breaks moves nobody who need not be
// moved. A [Registry] restores those of before a restart, publishes each change of
// the map, and answers a relay's questions of whom to let in. It knows the relays
// of its own process only: behind several coordinators each is to have all of them
// connect to it.
package relays

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
)

const (
	// Ping is how often a relay's silent connection is pinged, and PingTimeout how
	// long the answer may take. With grace it makes 5 s from a relay's death to a
	// map without it, for one whose host is gone and cannot even say so.
	Ping        = 2 * time.Second
	PingTimeout = 2 * time.Second

	// grace is how long a relay whose stream broke may take to return before it
	// leaves the map: some of its attempts. Nodes whose home it is wait as long,
	// when it is the relay that ended and not the stream alone.
	grace = time.Second

	// graceAtStart is the same after a start of the coordinator, when all return.
	graceAtStart = 10 * time.Second
)

// Store is what the registry reads and writes.
type Store interface {
	LiveRelay(ctx context.Context, id uuid.UUID) (store.Relay, error)
	LiveRelays(ctx context.Context) ([]store.Relay, error)
	ConnectRelay(ctx context.Context, id uuid.UUID, a store.RelayAddress) error
	DisconnectRelay(ctx context.Context, id uuid.UUID) error
}

// Config configures a Registry.
type Config struct {
	Store Store
	// Static is the part of the map that does not change: the relay inside the
	// server. Nil is nothing.
	Static *meshv1.Relays
	// TURNSecret signs credentials of the TURN of the relay inside the server; empty is
	// that it has none.
	TURNSecret string
	// Vouch says whether a key belongs to a node of the mesh.
	Vouch func(ctx context.Context, key [32]byte) (bool, error)
	// Publish gets the map whenever it has changed. It must neither block nor call
	// the registry.
	Publish func(*meshv1.Relays)
	// Logger gets who joins and leaves; nil discards.
	Logger *slog.Logger
}

// Registry serves the control streams of relays. Its methods may be called
// concurrently.
type Registry struct {
	relayv1.UnimplementedRelayServer
	cfg Config
	log *slog.Logger

	// mu guards what follows. It is never held over I/O, and Publish is called
	// under it, so that maps are published in their order.
	mu      sync.Mutex
	members map[uuid.UUID]*member
	revoked map[uuid.UUID]bool // since the start; few relays are ever deleted
	drained bool
	changed chan struct{} // has a token when a deadline may be nearer
}

// member is a relay that is in the map.
type member struct {
	store.Relay
	session *session // nil while it is expected back
	until   time.Time
	load    *relayv1.Load
	// turnSecret signs credentials of its TURN; empty is none.
	turnSecret string
	udp        *meshv1.UDPRelay // nil is none
}

// deleted is what a relay is told whose token is good no more.
func deleted() *relayv1.Error {
	return &relayv1.Error{Code: relayv1.Error_REVOKED, Message: "the relay was deleted; 'adit relays create' makes another"}
}

// away is what a relay is told that is to try again.
func away(why string) *relayv1.Error {
	return &relayv1.Error{Code: relayv1.Error_UNAVAILABLE, Message: why}
}

// session is one stream of a relay.
type session struct {
	end  chan *relayv1.Error // takes why it ends
	news chan struct{}       // has a token when its siblings may be others
}

// New returns a registry without relays.
func New(cfg Config) *Registry {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registry{cfg: cfg, log: cfg.Logger, members: make(map[uuid.UUID]*member), revoked: make(map[uuid.UUID]bool), changed: make(chan struct{}, 1)}
}

// Restore brings back the relays that had a session when the coordinator ended:
// nodes that return before their relays do are to keep them.
func (r *Registry) Restore(ctx context.Context) error {
	list, err := r.cfg.Store.LiveRelays(ctx)
	if err != nil {
		return fmt.Errorf("relays: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, relay := range list {
		if relay.Connected && r.members[relay.ID] == nil {
			r.members[relay.ID] = &member{Relay: relay, until: time.Now().Add(graceAtStart)}
		}
	}
	r.publishLocked()
	return nil
}

// Run lets those go who do not return, until ctx is done.
func (r *Registry) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-timer.C:
		}
		gone, next := r.expire(time.Now())
		for _, id := range gone {
			r.noteGone(ctx, id)
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// expire takes those out of the map who are overdue, and says when to look again;
// zero is when something changes.
func (r *Registry) expire(now time.Time) (gone []uuid.UUID, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drained { // they are to be in the map of the coordinator that comes after
		return nil, 0
	}
	for id, m := range r.members {
		switch left := m.until.Sub(now); {
		case m.session != nil:
		case left <= 0:
			delete(r.members, id)
			gone = append(gone, id)
			r.log.Warn("relay is gone", "relay", m.Name, "region", m.Region.Code)
		case next == 0 || left < next:
			next = left
		}
	}
	if len(gone) > 0 {
		r.publishLocked()
	}
	return gone, next
}

// Static returns the part of the map that does not change.
func (r *Registry) Static() *meshv1.Relays { return r.cfg.Static }

// Map returns the map that nodes get.
func (r *Registry) Map() *meshv1.Relays {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mapLocked()
}

func (r *Registry) publishLocked() {
	r.cfg.Publish(r.mapLocked())
	for _, m := range r.members {
		if m.session != nil {
			select {
			case m.session.news <- struct{}{}:
			default:
			}
		}
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *Registry) mapLocked() *meshv1.Relays {
	out := &meshv1.Relays{Regions: slices.Clone(r.cfg.Static.GetRegions())}
	regions := make(map[int]*meshv1.Region)
	byName := func(a, b *member) int { return strings.Compare(a.Name, b.Name) }
	for _, m := range slices.SortedFunc(maps.Values(r.members), byName) {
		g := regions[m.Region.ID]
		if g == nil {
			g = &meshv1.Region{Id: uint32(m.Region.ID), Code: m.Region.Code, Name: m.Region.Name}
			regions[m.Region.ID] = g
			out.Regions = append(out.Regions, g)
		}
		relay := &meshv1.Relay{Name: m.Name, Url: m.URL, CertName: m.CertName, Udp: m.udp}
		for _, p := range m.STUNPorts {
			relay.StunPorts = append(relay.StunPorts, uint32(p))
		}
		g.Relays = append(g.Relays, relay)
	}
	slices.SortStableFunc(out.Regions, func(a, b *meshv1.Region) int { return cmp.Compare(a.GetId(), b.GetId()) })
	return out
}

// siblings are the other relays of a member's region.
func (r *Registry) siblings(m *member) *relayv1.Siblings {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &relayv1.Siblings{MeshKey: m.Region.MeshKey}
	byName := func(a, b *member) int { return strings.Compare(a.Name, b.Name) }
	for _, other := range slices.SortedFunc(maps.Values(r.members), byName) {
		if other.Region.ID == m.Region.ID && other.ID != m.ID {
			out.Relays = append(out.Relays, &relayv1.Sibling{Name: other.Name, Url: other.URL, CertName: other.CertName, PublicKey: other.PublicKey})
		}
	}
	return out
}

// Revoked ends a relay's session: its token is not good any more, and its region has
// another key.
func (r *Registry) Revoked(gone store.RevokedRelay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked[gone.ID] = true
	for _, m := range r.members {
		if m.Region.ID == gone.Region {
			m.Region.MeshKey = gone.MeshKey
		}
	}
	m := r.members[gone.ID]
	if m == nil {
		r.publishLocked() // the others have the key to hear of
		return
	}
	delete(r.members, gone.ID)
	if m.session != nil {
		m.session.end <- deleted()
	}
	r.publishLocked()
	r.log.Info("relay was deleted", "relay", m.Name, "region", m.Region.Code)
}

// Drain ends every session, for the relays to come again in a moment.
func (r *Registry) Drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drained = true
	for _, m := range r.members {
		if m.session != nil {
			m.session.end <- away("the coordinator restarts; try again")
			m.session = nil
		}
	}
}

// Presence is what is known of a relay at this moment.
type Presence struct {
	Here bool
	// Load is what it said last.
	Load *relayv1.Load
}

// Presence returns what is known of a relay.
func (r *Registry) Presence(id uuid.UUID) Presence {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[id]
	if m == nil || m.session == nil {
		return Presence{}
	}
	return Presence{Here: true, Load: m.load}
}

// ICEServer is a relay that serves browsers.
type ICEServer struct {
	Region string // its code
	// Host is where it is; empty is where the coordinator is.
	Host string
	// STUNPorts answer STUN.
	STUNPorts []uint32
	// TURNSecret signs credentials of the TURN on the first of them; empty is that it
	// has none.
	TURNSecret string
}

// At is its address, given the host where the coordinator is.
func (s ICEServer) At(coordinator string) string {
	return net.JoinHostPort(cmp.Or(s.Host, coordinator), strconv.Itoa(int(s.STUNPorts[0])))
}

// ICEServers returns the relays of the map that answer STUN or TURN.
func (r *Registry) ICEServers() []ICEServer {
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets := make(map[string]string)
	for _, m := range r.members {
		secrets[m.URL] = m.turnSecret
	}
	secrets[""] = r.cfg.TURNSecret
	var list []ICEServer
	for _, g := range r.mapLocked().GetRegions() {
		for _, relay := range g.GetRelays() {
			u, err := url.Parse(relay.GetUrl())
			if err != nil || len(relay.GetStunPorts()) == 0 {
				continue // it was looked at when it joined
			}
			list = append(list, ICEServer{g.GetCode(), u.Hostname(), relay.GetStunPorts(), secrets[relay.GetUrl()]})
		}
	}
	return list
}
