package derp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"time"

	"go4.org/mem"
	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/types/key"
)

const (
	// bindWithin is how long a session waits for its two ends, and silentFor how long it
	// lives while one of them is silent.
	bindWithin = 30 * time.Second
	silentFor  = 5 * time.Minute

	// secretLasts is how long challenges are made with one secret; they are good for
	// twice that at the most.
	secretLasts = 2 * time.Minute

	// numbersMost is how many numbers a session may have: three bytes, and not zero.
	numbersMost = 1<<24 - 1

	// sessionsEach is how many sessions one node may have asked for that have not
	// ended: a node that hundreds of others visit, all from behind hard NATs.
	// sessionsMost bounds those of a relay.
	sessionsEach, sessionsMost = 1000, 50_000

	// sessionsPause lies between two looks at which have ended, for who has too many:
	// each takes in all.
	sessionsPause = time.Second
)

// errTooMany is that a node, or the relay, has as many sessions as it may.
var errTooMany = errors.New("too many are held")

// bundle is datagrams that come from one address, or go to one, behind each other: each
// of a size, but for the last, which may be shorter.
type bundle struct {
	at   netip.AddrPort
	data []byte
	size int
}

// count is how many datagrams there are.
func (b bundle) count() int { return (len(b.data) + b.size - 1) / b.size }

// passage is one session of a UDP relay: two ends, named by their disco keys, that have
// to show where they are before anything passes.
//
//	made -> each end asks (BindUDPRelayEndpoint) -> is challenged -> answers: it is at
//	the address from which it answered. When both have, datagrams pass. An end that
//	moves does it again.
type passage struct {
	number uint32
	by     key.NodePublic // who asked for it first
	made   time.Time
	order  uint64 // of its making
	ends   [2]key.DiscoPublic
	shared [2]key.DiscoShared

	mu    sync.Mutex // guards what follows
	round [2]uint32  // that an end was challenged in; zero is none
	at    [2]netip.AddrPort
	heard [2]time.Time
}

func (p *passage) bound() bool { return p.at[0].IsValid() && p.at[1].IsValid() } // mu is held

// ended reports whether nobody needs it.
func (p *passage) ended(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.bound() {
		return now.Sub(p.made) > bindWithin
	}
	return now.Sub(p.heard[0]) > silentFor || now.Sub(p.heard[1]) > silentFor
}

// other returns where datagrams from an address go.
func (p *passage) other(from netip.AddrPort, now time.Time) (netip.AddrPort, refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.bound() {
		return netip.AddrPort{}, refusedUnbound
	}
	for i := range p.at {
		if p.at[i] == from {
			p.heard[i] = now
			return p.at[1-i], refusedNot
		}
	}
	return netip.AddrPort{}, refusedStranger
}

// passages is the sessions of a UDP relay. Its methods may be called concurrently. Its
// lock goes before a session's.
type passages struct {
	disco  key.DiscoPrivate
	public key.DiscoPublic

	each, most int // as sessionsEach and sessionsMost

	mu       sync.RWMutex // guards what follows
	byNumber map[uint32]*passage
	byPair   map[key.SortedPairOfDiscoPublic]*passage
	asked    map[key.NodePublic]int // how many of them are whose
	looked   time.Time              // for some that have ended, when there were too many
	last     uint32                 // number that was given
	made     uint64
	secrets  [2][32]byte // of challenges: the present one and the last
	changed  time.Time
}

func newPassages(d key.DiscoPrivate) *passages {
	return &passages{
		disco: d, public: d.Public(), each: sessionsEach, most: sessionsMost,
		byNumber: make(map[uint32]*passage), byPair: make(map[key.SortedPairOfDiscoPublic]*passage), asked: make(map[key.NodePublic]int),
	}
}

// open returns the session of a pair for a node: the one that it has, either end may; a
// new one, if the node, and all together, do not have too many.
func (s *passages) open(a, b key.DiscoPublic, by key.NodePublic, now time.Time) (*passage, error) {
	pair := key.NewSortedPairOfDiscoPublic(a, b)
	s.mu.Lock()
	held, err := s.held(pair, by, now)
	s.mu.Unlock()
	if held != nil || err != nil {
		return held, err
	}
	p := &passage{by: by, made: now, ends: pair.Get()}
	for i, end := range p.ends {
		p.shared[i] = s.disco.Shared(end) // 95 µs, for which no datagram should wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, err := s.held(pair, by, now); held != nil || err != nil { // the other end may have asked meanwhile
		return held, err
	}
	for taken := true; taken; _, taken = s.byNumber[s.last] {
		s.last = s.last%numbersMost + 1
	}
	s.made++
	p.number, p.order = s.last, s.made
	s.byNumber[p.number], s.byPair[pair] = p, p
	s.asked[by]++
	return p, nil
}

// held returns the session that a pair has, nil if there may be one. mu is held.
func (s *passages) held(pair key.SortedPairOfDiscoPublic, by key.NodePublic, now time.Time) (*passage, error) {
	if p, ok := s.byPair[pair]; ok {
		if !p.ended(now) {
			return p, nil
		}
		s.drop(pair, p)
	}
	if s.full(by) && now.Sub(s.looked) >= sessionsPause {
		s.looked = now
		s.dropEnded(now)
	}
	if s.full(by) {
		return nil, errTooMany
	}
	return nil, nil
}

func (s *passages) full(by key.NodePublic) bool { // mu is held
	return s.asked[by] >= s.each || len(s.byPair) >= s.most
}

func (s *passages) drop(pair key.SortedPairOfDiscoPublic, p *passage) { // mu is held
	delete(s.byPair, pair)
	delete(s.byNumber, p.number)
	if s.asked[p.by]--; s.asked[p.by] == 0 {
		delete(s.asked, p.by)
	}
}

func (s *passages) dropEnded(now time.Time) { // mu is held
	for pair, p := range s.byPair {
		if p.ended(now) {
			s.drop(pair, p)
		}
	}
}

// forget drops those that have ended.
func (s *passages) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropEnded(now)
}

// live is how many have not ended, and how many of them have both their ends.
func (s *passages) live(now time.Time) (all, bound int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.byNumber {
		if p.ended(now) {
			continue
		}
		all++
		p.mu.Lock()
		if p.bound() {
			bound++
		}
		p.mu.Unlock()
	}
	return all, bound
}

func (s *passages) get(number uint32) *passage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byNumber[number]
}

// pass appends to out what is to be sent on of datagrams that came, and the answers to
// those that ask, and counts them all.
func (s *passages) pass(in bundle, now time.Time, out []bundle, c *udpCounts) []bundle {
	for rest := in.data; len(rest) > 0; {
		one := rest[:min(in.size, len(rest))]
		var h packet.GeneveHeader
		if len(one) <= packet.GeneveFixedHeaderLength || h.Decode(one) != nil || h.Version != 0 {
			c.refuse(refusedForeign, in.at, 1)
			rest = rest[len(one):]
			continue
		}
		run := sameSession(rest, in.size)
		if h.Control {
			run = len(one)
		}
		of := bundle{in.at, rest[:run], in.size}
		rest = rest[run:]
		p := s.get(h.VNI.Get())
		switch {
		case p == nil:
			c.refuse(refusedUnknown, in.at, of.count())
		case h.Control:
			answer, why := s.answer(p, in.at, h.Protocol, one[packet.GeneveFixedHeaderLength:], now)
			if why != refusedNot {
				c.refuse(why, in.at, 1)
			} else if answer != nil {
				out = append(out, bundle{in.at, answer, len(answer)})
			}
		default:
			to, why := p.other(in.at, now)
			if why != refusedNot {
				c.refuse(why, in.at, of.count())
				continue
			}
			c.packets.Add(int64(of.count()))
			c.bytes.Add(int64(len(of.data)))
			out = append(out, bundle{to, of.data, of.size})
		}
	}
	return out
}

// sameSession is how much of datagrams of a size is of the session of the first.
func sameSession(data []byte, size int) int {
	n := min(size, len(data))
	head := data[:packet.GeneveFixedHeaderLength]
	for n < len(data) && bytes.HasPrefix(data[n:min(n+size, len(data))], head) {
		n = min(n+size, len(data))
	}
	return n
}

// answer hears what an end says of itself, and returns what it is to be told, if
// anything.
func (s *passages) answer(p *passage, from netip.AddrPort, protocol uint16, sealed []byte, now time.Time) ([]byte, refusal) {
	raw, ok := disco.Source(sealed)
	if !ok || protocol != packet.GeneveProtocolDisco {
		return nil, refusedForeign
	}
	sender, i := key.DiscoPublicFromRaw32(mem.B(raw)), 0
	if sender == p.ends[1] {
		i = 1
	}
	if sender != p.ends[i] {
		return nil, refusedStranger
	}
	plain, ok := p.shared[i].Open(sealed[len(disco.Magic)+key.DiscoPublicRawLen:])
	if !ok {
		return nil, refusedStranger
	}
	m, err := disco.Parse(plain)
	if err != nil {
		return nil, refusedForeign
	}
	is := func(said disco.BindUDPRelayEndpointCommon) bool {
		return said.VNI == p.number && said.Generation != 0 && said.RemoteKey == p.ends[1-i]
	}
	secrets := s.challenges(now) // their lock goes before the session's
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m := m.(type) {
	case *disco.BindUDPRelayEndpoint:
		if !is(m.BindUDPRelayEndpointCommon) {
			return nil, refusedStranger
		}
		p.round[i] = m.Generation
		challenge := &disco.BindUDPRelayEndpointChallenge{BindUDPRelayEndpointCommon: disco.BindUDPRelayEndpointCommon{VNI: p.number, Generation: m.Generation, RemoteKey: m.RemoteKey}}
		challenge.Challenge = mark(secrets[0], from, challenge.BindUDPRelayEndpointCommon)
		out := append(geneve(p.number, packet.GeneveProtocolDisco, true), disco.Magic...)
		return append(s.public.AppendTo(out), p.shared[i].Seal(challenge.AppendMarshal(nil))...), refusedNot
	case *disco.BindUDPRelayEndpointAnswer:
		if !is(m.BindUDPRelayEndpointCommon) || m.Generation != p.round[i] {
			return nil, refusedStranger
		}
		for _, secret := range secrets {
			want := mark(secret, from, m.BindUDPRelayEndpointCommon)
			if hmac.Equal(want[:], m.Challenge[:]) {
				p.at[i], p.heard[i], p.round[i] = from, now, 0
				return nil, refusedNot
			}
		}
		return nil, refusedStranger
	}
	return nil, refusedForeign
}

// mark is what only who receives at an address can answer with.
func mark(secret [32]byte, at netip.AddrPort, m disco.BindUDPRelayEndpointCommon) (sum [32]byte) {
	h := hmac.New(sha256.New, secret[:])
	b := binary.BigEndian.AppendUint32(nil, m.VNI)
	b = binary.BigEndian.AppendUint32(b, m.Generation)
	b = m.RemoteKey.AppendTo(b)
	b, _ = at.AppendBinary(b) // of no zone too long
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}

// challenges returns the secrets that challenges are made with, the present one first.
func (s *passages) challenges(now time.Time) [2][32]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed.IsZero() {
		rand.Read(s.secrets[1][:])
	}
	if now.Sub(s.changed) > secretLasts {
		if !s.changed.IsZero() {
			s.secrets[1] = s.secrets[0]
		}
		rand.Read(s.secrets[0][:])
		s.changed = now
	}
	return s.secrets
}
