package tunnel

import (
	"context"
	"maps"
	"slices"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/tunnel/path"
)

// upStream is the half of the control stream that speaks.
type upStream interface {
	Send(*meshv1.Up) error
	CloseSend() error
}

// said is what one session has told the coordinator. What there is to say is
// always the difference between it and the node, so that a new session starts
// from nothing and ends up the same.
type said struct {
	self     bool
	endpoint *meshv1.Self
	wants    map[string]bool
	ready    map[string]*path.Peer // as it was programmed; one that was gone and is back is another
	verdicts map[string]verdictKey
}

// verdictKey is what of a verdict is worth telling anew when it changes.
type verdictKey struct {
	path, region, reason string
	mtu, rttUs           uint32
	bytes                uint64 // both ways
}

// same reports whether there is nothing worth telling in b: a round trip is, once
// it is twice or half as long, and by no less than anyUs.
func (a verdictKey) same(b verdictKey) bool {
	low, high := min(a.rttUs, b.rttUs), max(a.rttUs, b.rttUs)
	a.rttUs, b.rttUs, a.bytes, b.bytes = 0, 0, 0, 0
	return a == b && (high/2 < low || high-low < anyUs)
}

// anyUs is how much longer or shorter a round trip is worth telling: what people
// feel in a terminal.
const anyUs = 10_000

const (
	// countsEvery is how often it is told how much went by each path, to whom looks at
	// the mesh.
	countsEvery = 30 * time.Second

	// anyBytes is how much more is worth telling: less is what keeps a link alive.
	anyBytes = 4 << 10
)

// speak tells the coordinator whatever changes, until ctx is done or the node
// closes, which it ends with bye.
func (n *Node) speak(ctx context.Context, stream upStream) {
	s := said{wants: map[string]bool{}, ready: map[string]*path.Peer{}, verdicts: map[string]verdictKey{}}
	counting := time.NewTicker(countsEvery)
	defer counting.Stop()
	counts := false
	for newSession := true; ; newSession = false {
		ups, bye := n.news(&s, counts)
		if n.cfg.Report != nil {
			if r := n.cfg.Report(newSession); r != nil { // before bye, after which nothing is heard
				ups = append([]*meshv1.Up{{Msg: &meshv1.Up_Report{Report: r}}}, ups...)
			}
		}
		for _, up := range ups {
			if stream.Send(up) != nil {
				return // the receiving half says why
			}
		}
		if bye {
			// The coordinator ends the stream when it has read this.
			_ = stream.CloseSend()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-n.dirty:
			counts = false
		case <-counting.C:
			counts = true
		}
	}
}

// news returns what there is to say and notes it as said.
func (n *Node) news(s *said, counts bool) (ups []*meshv1.Up, bye bool) {
	verdicts := n.verdictReports(s.verdicts, counts)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return []*meshv1.Up{{Msg: &meshv1.Up_Bye{Bye: &meshv1.Bye{}}}}, true
	}
	if self := selfToProto(n.self.Load()); !s.self || !sameSelf(self, s.endpoint) {
		s.self, s.endpoint = true, self
		ups = append(ups, &meshv1.Up{Msg: &meshv1.Up_Self{Self: self}})
	}
	for id := range n.askAgain {
		delete(s.wants, id)
	}
	clear(n.askAgain)
	for id := range n.released {
		delete(s.wants, id)
		ups = append(ups, &meshv1.Up{Msg: &meshv1.Up_Unwant{Unwant: &meshv1.Unwant{Peer: id}}})
	}
	clear(n.released)
	for id := range n.wants {
		if !s.wants[id] {
			s.wants[id] = true
			ups = append(ups, &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: id}}})
		}
	}
	for id := range s.wants {
		if !n.wants[id] {
			delete(s.wants, id)
			ups = append(ups, &meshv1.Up{Msg: &meshv1.Up_Unwant{Unwant: &meshv1.Unwant{Peer: id}}})
		}
	}
	for id, p := range n.peers {
		if p.path != nil && p.state == peerHere && s.ready[id] != p.path {
			s.ready[id] = p.path
			ups = append(ups, &meshv1.Up{Msg: &meshv1.Up_Ready{Ready: &meshv1.Ready{Peer: id}}})
		}
	}
	maps.DeleteFunc(s.ready, func(id string, _ *path.Peer) bool {
		p := n.peers[id]
		return p == nil || p.state != peerHere // to be said anew when it is back
	})
	for _, v := range verdicts {
		ups = append(ups, &meshv1.Up{Msg: &meshv1.Up_Verdict{Verdict: v}})
	}
	maps.DeleteFunc(s.verdicts, func(id string, _ verdictKey) bool { return n.peers[id] == nil })
	return ups, false
}

// relayOnly is the capability, or rather the lack of one, of a node that was
// told to use no path but relays.
const relayOnly = "relay-only"

func selfToProto(s *path.Self) *meshv1.Self {
	self := &meshv1.Self{
		HomeRelay: s.HomeRelay, Nat: natToProto(s.NAT),
		RelayLatencies: maps.Clone(s.Latencies),
	}
	if s.RelayOnly {
		self.Capabilities = []string{relayOnly}
	}
	for _, e := range s.Endpoints {
		self.Endpoints = append(self.Endpoints, e.String())
	}
	return self
}

// sameSelf compares what matters to peers; round trips to relays change all
// the time.
func sameSelf(a, b *meshv1.Self) bool {
	return a.GetHomeRelay() == b.GetHomeRelay() && a.GetNat() == b.GetNat() &&
		slices.Equal(a.GetEndpoints(), b.GetEndpoints()) && slices.Equal(a.GetCapabilities(), b.GetCapabilities())
}
