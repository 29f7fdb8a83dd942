package path

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// Region is one region of the relay map.
type Region struct {
	ID         uint32
	Code, Name string
	Relays     []Relay
}

// Relay is one relay of a region.
type Relay struct {
	Name string
	// URL is "http://host[:port]" or "https://host[:port]".
	URL string
	// STUNPorts answer STUN over UDP on the URL's host.
	STUNPorts []uint16
	// CertPin is "sha256-raw:<hex>"; empty means the usual roots.
	CertPin string
	// UDP is how it carries packets over UDP, if it does.
	UDP UDPRelay
}

// UDPRelay is the part of a relay that carries packets over UDP.
type UDPRelay struct {
	Port uint16 // zero if there is none
	// Key is by which it is found on DERP, and DiscoKey what it is spoken to by.
	Key, DiscoKey [32]byte
}

// relayAt is where a relay is, and the pin of its certificate.
type relayAt struct{ url, pin string }

// inTurn orders the relays of a region as this node tries them: each node has an
// order of its own, so that they share the load, and keeps it when relays come and go.
// Which of them a peer is connected to makes no difference: they forward to each other.
func (b *Bind) inTurn(r Region) []relayAt {
	weight := func(at relayAt) uint64 {
		sum := sha256.Sum256(append(rawNode(b.pub), at.url...))
		return binary.BigEndian.Uint64(sum[:])
	}
	list := make([]relayAt, 0, len(r.Relays))
	for _, relay := range r.Relays {
		list = append(list, relayAt{relay.URL, relay.CertPin})
	}
	slices.SortFunc(list, func(x, y relayAt) int { return cmp.Compare(weight(x), weight(y)) })
	return list
}

// SetRelays replaces the relay map. Connections to relays that left it, or changed,
// are closed; the home region's is opened again by itself.
func (b *Bind) SetRelays(regions []Region) {
	next := make(map[uint32]Region, len(regions))
	for _, r := range regions {
		if r.ID != 0 && len(r.Relays) > 0 {
			next[r.ID] = r
		}
	}
	b.mu.Lock()
	b.relays = next
	var ended []*runningLink
	kept := make(map[uint32]*runningLink)
	for id, l := range b.links {
		if _, ok := next[id]; ok {
			kept[id] = l
			continue
		}
		ended = append(ended, l)
		delete(b.links, id)
	}
	b.mu.Unlock()
	for id, l := range kept {
		l.setRelays(b.inTurn(next[id]))
	}
	for _, l := range ended {
		l.stop()
		<-l.done
	}
	b.chooseHome(nil)
	b.probe.poke()
}

// Regions returns the relay map, lowest id first.
func (b *Bind) Regions() []Region {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.SortedFunc(maps.Values(b.relays), func(x, y Region) int { return int(x.ID) - int(y.ID) })
}

// Region returns one region of the relay map.
func (b *Bind) Region(id uint32) (Region, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	r, ok := b.relays[id]
	return r, ok
}

// link returns the link to a region, opening it on first use; nil when the
// region is not in the map.
func (b *Bind) link(region uint32) *link {
	b.mu.RLock()
	l := b.links[region]
	b.mu.RUnlock()
	if l != nil {
		return l.link
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.links[region]; l != nil {
		return l.link
	}
	r, ok := b.relays[region]
	if !ok || b.ctx.Err() != nil {
		return nil
	}
	ctx, stop := context.WithCancel(b.ctx)
	l = &runningLink{
		link: &link{
			region: region, relays: b.inTurn(r), priv: b.priv, roots: b.cfg.RootCAs,
			log: b.log.With("region", region), deliver: b.onRelayed, tried: b.relayTried,
			frames: &b.frames, out: make(chan *frame, linkQueue), again: make(chan struct{}, 1), prove: make(chan struct{}, 1),
		},
		stop: stop, done: make(chan struct{}),
	}
	b.links[region] = l
	b.wg.Go(func() {
		defer close(l.done)
		l.run(ctx)
	})
	return l.link
}

// checkLinks has the connections to relays prove that they have survived a
// change of the network.
func (b *Bind) checkLinks() {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, l := range b.links {
		l.networkChanged()
	}
}

// RelayConnection is how a region's relays are reached.
type RelayConnection struct {
	// URL is the relay's that is connected, or the one to be tried first.
	URL       string
	Connected bool
	// WebSocket says that DERP goes within one, because something on the way breaks
	// the upgrade to it.
	WebSocket bool
	// Err is why none is connected; nil when one is, or none was tried.
	Err error
}

// RelayConnection returns how a region's relays are reached.
func (b *Bind) RelayConnection(region uint32) RelayConnection {
	b.mu.RLock()
	l, r := b.links[region], b.relays[region]
	b.mu.RUnlock()
	if l != nil {
		return l.connection()
	}
	if len(r.Relays) == 0 {
		return RelayConnection{}
	}
	return RelayConnection{URL: b.inTurn(r)[0].url}
}
