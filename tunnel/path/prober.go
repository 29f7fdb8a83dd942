package path

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"tailscale.com/net/stun"
)

const (
	// probeEvery is how often a node looks at its own network. UDP mappings
	// may expire after 30 s without traffic, so this is a little less.
	probeEvery = 25 * time.Second

	// probeBlockedEvery is how often a node asks again while UDP is blocked.
	probeBlockedEvery = 5 * time.Second

	// probeFor is how long one round waits for answers before what did not
	// answer counts as blocked: four tries, the last with 900 ms to return.
	probeFor = 1600 * time.Millisecond

	// resolveFor is how long a relay's name may take to be looked up. A server
	// that is not asked in a round does not count as silent.
	resolveFor = time.Second

	// observedFor is how long an address that a peer saw us at is announced
	// after it was last seen.
	observedFor = 2 * time.Minute

	// maxSelfEndpoints is what the protocol allows a node to announce, and
	// maxLocals how many of them may be this machine's own addresses: one with
	// dozens of bridges must not crowd out how it is seen from outside.
	maxSelfEndpoints = 32
	maxLocals        = 16
)

// probeRetries is when, in a round, unanswered STUN requests are sent again.
var probeRetries = [...]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond}

// Self is how this node can be reached.
type Self struct {
	// HomeRelay is the region this node listens on; zero while there is none.
	HomeRelay uint32
	// Endpoints to try, best guesses first.
	Endpoints []netip.AddrPort
	// Latencies are round trips to regions in microseconds.
	Latencies map[uint32]uint32
	NAT       NAT
	// PortMapping is what the router does when asked.
	PortMapping PortMapping
	// UDP4 and UDP6 say whether anybody answered over UDP by that family.
	UDP4, UDP6 bool
	// Complete says that relays were asked, and had the time to answer, since
	// the network last changed.
	Complete bool
	// RelayOnly says that the node was told to use relays alone.
	RelayOnly bool
	// STUNServers is how many relay addresses were asked over UDP in the last
	// round, and STUNAnswers how many answered.
	STUNServers, STUNAnswers int
}

func (s Self) equal(t Self) bool {
	return s.HomeRelay == t.HomeRelay && s.RelayOnly == t.RelayOnly && s.NAT == t.NAT &&
		s.UDP4 == t.UDP4 && s.UDP6 == t.UDP6 && s.Complete == t.Complete &&
		s.PortMapping == t.PortMapping && slices.Equal(s.Endpoints, t.Endpoints)
}

// prober finds out how this node can be reached: its interfaces' addresses,
// and what STUN servers see of it.
type prober struct {
	bind  *Bind
	again chan struct{}
	moved chan struct{} // the network changed

	mu       sync.Mutex // guards what follows
	self     Self
	locals   []netip.AddrPort // those of self's endpoints that are this machine's own, first
	mapping  PortMapping
	observed map[netip.AddrPort]time.Time // when peers last saw us there
	pending  map[stun.TxID]*stunRequest
	answers  chan stunAnswer // of the round under way; nil between rounds
}

type stunRequest struct {
	region uint32
	server netip.AddrPort
	sent   time.Time
}

type stunAnswer struct {
	stunRequest
	rtt    time.Duration
	mapped netip.AddrPort
}

func newProber(b *Bind) *prober {
	return &prober{
		bind: b, again: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		observed: make(map[netip.AddrPort]time.Time), pending: make(map[stun.TxID]*stunRequest),
	}
}

// poke starts a round now, or after the one under way.
func (p *prober) poke() { signal(p.again) }

// networkChanged starts a round now, in the place of the one under way, and has
// everything tried anew that was found out before.
func (p *prober) networkChanged() { signal(p.moved) }

// signal puts a token into a channel that holds one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (p *prober) current() Self {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.self
}

func (p *prober) endpoints() []netip.AddrPort { return p.current().Endpoints }

// seenAs notes the address that a peer saw a ping of ours come from: as good
// as a STUN answer, and from where it matters.
func (p *prober) seenAs(addr netip.AddrPort) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	p.mu.Lock()
	defer p.mu.Unlock()
	if !addr.IsValid() || addr.Addr().IsLoopback() || p.self.NAT == NATHard {
		return // another peer sees another address, or itself there
	}
	if _, ok := p.observed[addr]; !ok && len(p.observed) >= maxSelfEndpoints {
		return
	}
	p.observed[addr] = time.Now()
	if slices.Contains(p.self.Endpoints, addr) || len(p.self.Endpoints) >= maxSelfEndpoints {
		return
	}
	p.self.Endpoints = append(slices.Clone(p.self.Endpoints), addr)
	p.bind.cfg.OnSelf(p.self)
}

// portMapped notes what the router does for this node. It is announced before
// all else but this machine's own addresses: it works from everywhere.
func (p *prober) portMapped(m PortMapping) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == p.mapping {
		return
	}
	old := p.mapping.External
	p.mapping = m
	p.self.Endpoints = slices.DeleteFunc(slices.Clone(p.self.Endpoints), func(a netip.AddrPort) bool { return a == old })
	p.announceMapped(&p.self)
	p.bind.cfg.OnSelf(p.self)
}

// announceMapped puts the mapped address into self. p.mu is held.
func (p *prober) announceMapped(self *Self) {
	self.PortMapping = p.mapping
	at := p.mapping.External
	if !at.IsValid() || slices.Contains(self.Endpoints, at) {
		return
	}
	first := min(len(p.locals), len(self.Endpoints))
	self.Endpoints = slices.Insert(self.Endpoints, first, at)
	self.Endpoints = self.Endpoints[:min(len(self.Endpoints), maxSelfEndpoints)]
}

// run probes until ctx is done.
func (p *prober) run(ctx context.Context) {
	timer := time.NewTimer(probeEvery)
	defer timer.Stop()
	for {
		moved := false
		select {
		case <-ctx.Done():
			return
		case <-p.moved:
			moved = true
		case <-p.again:
		case <-timer.C:
		}
		p.round(ctx, moved)
		if p.current().NAT == NATBlocked {
			timer.Reset(probeBlockedEvery)
		} else {
			timer.Reset(probeEvery)
		}
	}
}

// round asks every relay once and publishes what becomes known as soon as it
// does: interfaces at once, the mapped address with the first answer. After the
// network has changed, moved says so.
func (p *prober) round(ctx context.Context, moved bool) {
	socks := p.bind.socks.Load()
	if socks == nil {
		return
	}
	locals := p.localEndpoints(socks)
	if moved {
		p.forgetOutside(locals)
	}
	found := &findings{relayOnly: p.bind.cfg.RelayOnly, locals: locals, observed: p.recentlyObserved(time.Now()), before: p.current()}
	p.publish(found, false)
	if moved {
		p.bind.networkChanged() // the call-me-maybes name the new addresses
	}

	requests := p.requests(ctx, socks)
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	found.asked = len(requests)
	answers := make(chan stunAnswer, len(requests)*len(probeRetries))
	p.mu.Lock()
	p.answers = answers
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.answers = nil
		clear(p.pending)
		p.mu.Unlock()
	}()

	began := time.Now()
	for try := 0; len(requests) > 0; {
		if try < len(probeRetries) && time.Since(began) >= probeRetries[try] {
			p.ask(requests, found)
			try++
			continue
		}
		var retry <-chan time.Time
		if try < len(probeRetries) {
			retry = time.After(probeRetries[try] - time.Since(began))
		}
		select {
		case <-ctx.Done():
		case <-p.moved:
			p.networkChanged()
			return // what this round has learned is of the old network
		case <-retry:
			continue
		case a := <-answers:
			if found.add(a) {
				p.publish(found, false)
			}
			if len(found.answers) < found.asked {
				continue
			}
		}
		break
	}
	p.publish(found, true)
}

// forgetOutside forgets how this node is seen from outside, if an address of its
// own is gone: it was another network that was looked at. Else that counts until
// the round is over: more often than not, it was a bridge or a VPN that came.
func (p *prober) forgetOutside(locals []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.observed)
	p.self.Complete = false
	if !slices.ContainsFunc(p.locals, func(a netip.AddrPort) bool { return !slices.Contains(locals, a) }) {
		return
	}
	p.self.Endpoints, p.self.NAT = nil, NATUnknown
	p.self.UDP4, p.self.UDP6 = false, false
}

// recentlyObserved returns where peers saw us of late, and forgets the rest.
func (p *prober) recentlyObserved(now time.Time) []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.observed, func(_ netip.AddrPort, at time.Time) bool { return now.Sub(at) >= observedFor })
	return slices.SortedFunc(maps.Keys(p.observed), netip.AddrPort.Compare)
}

// publish makes what was found current and tells whoever wants to know, if it is
// new.
func (p *prober) publish(found *findings, done bool) {
	self := found.self(done)
	p.bind.chooseHome(self.Latencies)
	self.HomeRelay = p.bind.home.Load()
	if m := p.bind.mapper; m != nil && self.NAT == NATHard {
		signal(m.hurry)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.locals = found.locals
	p.announceMapped(&self)
	changed := !self.equal(p.self)
	p.self = self
	if changed {
		p.bind.cfg.OnSelf(self)
	}
}

// rehome chooses a home anew, for what relays do, and announces it.
func (p *prober) rehome() {
	p.bind.chooseHome(p.current().Latencies)
	p.mu.Lock()
	defer p.mu.Unlock()
	if home := p.bind.home.Load(); home != p.self.HomeRelay {
		p.self.HomeRelay = home
		p.bind.cfg.OnSelf(p.self)
	}
}

// requests lists the STUN servers to ask: two a region and address family, to
// see a mapping that varies.
func (p *prober) requests(ctx context.Context, socks *sockets) []stunRequest {
	regions := p.bind.Regions()
	found := make([][]stunRequest, len(regions))
	var lookups sync.WaitGroup
	for i, region := range regions {
		lookups.Go(func() {
			for _, s := range stunServers(region) {
				for _, ip := range resolve(ctx, s.host, socks) {
					found[i] = append(found[i], stunRequest{region: region.ID, server: netip.AddrPortFrom(ip, s.port)})
				}
			}
		})
	}
	lookups.Wait()
	return slices.Concat(found...)
}

// stunServer is one port of a relay that answers STUN.
type stunServer struct {
	host string
	port uint16
}

// stunServers returns up to two servers of a region: a port each of two relays
// rather than two ports of one, since some NATs map by address alone.
func stunServers(region Region) []stunServer {
	var first, more []stunServer
	for _, relay := range region.Relays {
		u, err := url.Parse(relay.URL)
		if err != nil {
			continue
		}
		for i, port := range relay.STUNPorts {
			if i == 0 {
				first = append(first, stunServer{u.Hostname(), port})
			} else {
				more = append(more, stunServer{u.Hostname(), port})
			}
		}
	}
	all := append(first, more...)
	return all[:min(2, len(all))]
}

// resolve returns one address a family of those that there are sockets for.
func resolve(ctx context.Context, host string, socks *sockets) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, resolveFor)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	var v4, v6 netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		switch {
		case ip.Is4() && socks.v4 != nil && !v4.IsValid():
			v4 = ip
		case ip.Is6() && socks.v6 != nil && !v6.IsValid():
			v6 = ip
		}
	}
	return slices.DeleteFunc([]netip.Addr{v4, v6}, func(ip netip.Addr) bool { return !ip.IsValid() })
}

// ask sends a request to each server that has not answered yet.
func (p *prober) ask(requests []stunRequest, found *findings) {
	for _, req := range requests {
		if _, ok := found.answers[req.server]; ok {
			continue
		}
		tx := stun.NewTxID()
		req.sent = time.Now()
		p.mu.Lock()
		p.pending[tx] = &req
		p.mu.Unlock()
		if s := p.bind.socketFor(req.server.Addr()); s != nil {
			_ = s.write(stun.Request(tx), req.server) // silence is the answer
		}
	}
}

// onSTUN handles a STUN packet that came over a socket of ours.
func (p *prober) onSTUN(b []byte, from netip.AddrPort) {
	tx, mapped, err := stun.ParseResponse(b)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	req := p.pending[tx]
	if req == nil || req.server != from {
		return
	}
	delete(p.pending, tx)
	select {
	case p.answers <- stunAnswer{*req, time.Since(req.sent), netip.AddrPortFrom(mapped.Addr().Unmap(), mapped.Port())}:
	default:
	}
}

// findings gathers what one round learns.
type findings struct {
	relayOnly bool
	before    Self
	locals    []netip.AddrPort
	observed  []netip.AddrPort
	asked     int
	answers   map[netip.AddrPort]stunAnswer // by server
}

// add notes an answer and reports whether it is the server's first.
func (f *findings) add(a stunAnswer) bool {
	if f.answers == nil {
		f.answers = make(map[netip.AddrPort]stunAnswer)
	}
	if _, ok := f.answers[a.server]; ok {
		return false
	}
	f.answers[a.server] = a
	return true
}

// self puts the findings together. Before the round is done, silence proves
// nothing and what was known before still counts.
func (f *findings) self(done bool) Self {
	s := Self{Latencies: make(map[uint32]uint32), RelayOnly: f.relayOnly, STUNServers: f.asked, STUNAnswers: len(f.answers)}
	s.Complete = done && f.asked > 0 || f.before.Complete
	if !done {
		s.UDP4, s.UDP6 = f.before.UDP4, f.before.UDP6
	}
	mapped := make(map[netip.AddrPort]int)
	for _, a := range f.answers {
		if a.server.Addr().Is4() {
			s.UDP4 = true
		} else {
			s.UDP6 = true
		}
		us := uint32(max(1, a.rtt.Microseconds()))
		if old, ok := s.Latencies[a.region]; !ok || us < old {
			s.Latencies[a.region] = us
		}
		mapped[a.mapped]++
	}
	s.NAT = f.nat(mapped, done)
	s.Endpoints = slices.Clone(f.locals)
	seen := slices.SortedFunc(maps.Keys(mapped), netip.AddrPort.Compare)
	if s.NAT != NATHard {
		seen = append(seen, f.observed...)
	}
	if !done {
		seen = append(seen, f.before.Endpoints...)
		if len(s.Latencies) == 0 {
			s.Latencies = f.before.Latencies
		}
	}
	for _, a := range seen {
		if !slices.Contains(s.Endpoints, a) && len(s.Endpoints) < maxSelfEndpoints {
			s.Endpoints = append(s.Endpoints, a)
		}
	}
	return s
}

// nat judges the mappings: two servers that saw different ports of one socket
// make it hard. Those that saw an address of this machine's own tell of no NAT:
// which of its addresses it takes depends on the destination.
func (f *findings) nat(mapped map[netip.AddrPort]int, done bool) NAT {
	v4, perFamily := 0, map[bool]int{}
	for a, servers := range mapped {
		if a.Addr().Is4() {
			v4 += servers
		}
		if !slices.Contains(f.locals, a) {
			perFamily[a.Addr().Is4()]++
		}
	}
	switch {
	case perFamily[true] > 1 || perFamily[false] > 1:
		return NATHard
	case len(f.answers) == 0 && done && f.asked > 0:
		return NATBlocked
	case len(f.answers) == 0:
		return f.before.NAT
	case done || v4 > 1:
		return NATEasy
	case f.before.NAT == NATBlocked:
		return NATUnknown
	default:
		return f.before.NAT
	}
}

// localEndpoints lists the addresses of this machine that a peer might reach,
// with the port of the socket of their family.
func (p *prober) localEndpoints(socks *sockets) []netip.AddrPort {
	addrs, err := localAddrs(p.bind.cfg.Exclude)
	if err != nil {
		p.bind.log.Warn("cannot tell this machine's addresses", "err", err)
		return nil
	}
	var all []netip.AddrPort
	for _, ip := range reachable(addrs) {
		sock := socks.v6
		if ip.Is4() {
			sock = socks.v4
		}
		if sock != nil && len(all) < maxLocals {
			all = append(all, netip.AddrPortFrom(ip, sock.port()))
		}
	}
	return all
}
