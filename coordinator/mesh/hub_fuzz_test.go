package mesh

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

// teller is the hub's end of a stream whose node says what it is made to.
type teller struct {
	grpc.ServerStream
	ctx   context.Context
	asks  chan struct{} // has a value each time that the hub waits for a message
	says  chan *meshv1.Up
	ended chan struct{}

	mu    sync.Mutex
	heard []*meshv1.Down // guarded by mu
}

func (s *teller) Context() context.Context { return s.ctx }

func (s *teller) Recv() (*meshv1.Up, error) {
	s.asks <- struct{}{}
	up, ok := <-s.says
	if !ok {
		return nil, io.EOF
	}
	return up, nil
}

func (s *teller) Send(d *meshv1.Down) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, d)
	return nil
}

// say has the node say something, and reports whether the stream went on to it.
func (s *teller) say(up *meshv1.Up) bool {
	select {
	case <-s.asks:
		s.says <- up
		return true
	case <-s.ended:
		return false
	}
}

// Whatever an agent and a client say, in any order: the hub neither falls nor blocks;
// each hears only messages that its stream can carry, of the one peer that it may
// have, at the address that is that peer's; a refusal is the last word; what is
// reported can be kept; and when both are gone nothing of them is left but what they
// may resume.
func FuzzUps(f *testing.F) {
	v := &village{user: uuid.UUID{1}, token: uuid.UUID{2}, agent: uuid.UUID{3}}
	const agent, client = 0, 1
	seed := func(list ...any) {
		var raw bytes.Buffer
		for i := 0; i < len(list); i += 2 {
			raw.WriteByte(byte(list[i].(int)))
			if _, err := protodelim.MarshalTo(&raw, list[i+1].(*meshv1.Up)); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(raw.Bytes())
	}
	peer := v.agent.String()
	want := &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: peer}}}
	self := &meshv1.Up{Msg: &meshv1.Up_Self{Self: &meshv1.Self{HomeRelay: 900, Endpoints: []string{"192.0.2.1:7", "[fe80::1%eth0]:9"}, Capabilities: []string{"x"}, RelayLatencies: map[uint32]uint32{900: 5}}}}
	verdict := &meshv1.Up{Msg: &meshv1.Up_Verdict{Verdict: &meshv1.Verdict{Peer: peer, Path: "derp", Reason: "udp-blocked", Evidence: "silence", Fix: "open it", Mtu: 1280}}}
	report := &meshv1.Up{Msg: &meshv1.Up_Report{Report: &meshv1.Report{
		Metadata: []*meshv1.MetadataValue{{Key: "load", Value: "\x1b[31m"}}, Stats: &meshv1.Stats{Seconds: 60, Cpu: 1}, State: &meshv1.State{Ports: []*meshv1.Port{{Network: "tcp", Port: 80}}},
	}}}
	ready := &meshv1.Up{Msg: &meshv1.Up_Ready{Ready: &meshv1.Ready{Peer: peer}}}
	unwant := &meshv1.Up{Msg: &meshv1.Up_Unwant{Unwant: &meshv1.Unwant{Peer: peer}}}
	bye := &meshv1.Up{Msg: &meshv1.Up_Bye{Bye: &meshv1.Bye{}}}
	seed(agent, helloUp('a'), client, helloUp('c'), client, want, agent, self, client, self, client, ready, client, verdict, client, unwant, client, want, agent, bye, client, bye)
	seed(client, helloUp('c'), client, want, agent, helloUp('a'), agent, report, agent, self, agent, want)
	seed(agent, helloUp('a'), client, helloUp('a'), client, want, client, self, agent, self)
	seed(client, want)
	seed(agent, helloUp('a'), agent, helloUp('a'))

	f.Fuzz(func(t *testing.T, raw []byte) {
		h := New(Config{Store: v, Relays: &meshv1.Relays{}, NodeTimeout: time.Minute})
		identities := [2]auth.Identity{{Kind: auth.Agent, UserID: v.user, AgentID: v.agent}, {Kind: auth.User, UserID: v.user, TokenID: v.token}}
		var streams [2]*teller
		var serving sync.WaitGroup
		for i, who := range identities {
			s := &teller{ctx: t.Context(), asks: make(chan struct{}, 1), says: make(chan *meshv1.Up), ended: make(chan struct{})}
			streams[i] = s
			serving.Go(func() {
				defer close(s.ended)
				h.serve(who, s)
			})
		}
		for in := bytes.NewReader(raw); ; {
			who, err := in.ReadByte()
			up := new(meshv1.Up)
			if err != nil || protodelim.UnmarshalFrom(in, up) != nil {
				break // gRPC ends a stream with such a message
			}
			streams[who%2].say(up)
		}
		for _, s := range streams {
			close(s.says)
			for open := true; open; {
				select {
				case <-s.asks:
				case <-s.ended:
					open = false
				}
			}
		}
		serving.Wait()
		for i, s := range streams {
			checkHeard(t, i == agent, v.agent, s.heard)
		}
		metadata, stats := h.reports.take()
		for _, m := range metadata {
			if strings.ContainsAny(m.Key+m.Value+m.Err, "\x00\x1b") {
				t.Errorf("metadata %+v", m)
			}
		}
		if len(stats) > 1 || len(h.sessions)+len(h.core.sessions) != 0 || len(h.core.nodes) > 2 || len(h.core.keys) > 2 {
			t.Errorf("left: %d sums, %d and %d sessions, %d nodes, %d keys", len(stats), len(h.sessions), len(h.core.sessions), len(h.core.nodes), len(h.core.keys))
		}
	})
}

// checkHeard checks what one of the two was told.
func checkHeard(t *testing.T, isAgent bool, agent uuid.UUID, heard []*meshv1.Down) {
	for i, d := range heard {
		raw, err := proto.Marshal(d)
		if err != nil || len(raw) > rpc.MaxMessage {
			t.Errorf("a message that no stream carries: %d bytes, %v: %v", len(raw), err, d)
		}
		if e := d.GetError(); e != nil && e.GetPeer() == "" && i != len(heard)-1 {
			t.Errorf("after %v it goes on: %v", e, heard[i+1])
		}
		p := d.GetPeer()
		if p == nil || p.GetState() == meshv1.Peer_GONE {
			continue
		}
		id, err := uuid.Parse(p.GetId())
		if err != nil || (id == agent) == isAgent || len(p.GetAddresses()) != 1 || p.GetAddresses()[0] != meshaddr.FromID(id).String() {
			t.Errorf("a peer that is not theirs, or elsewhere: %v, %v", p, err)
		}
	}
}
