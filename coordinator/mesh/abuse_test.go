package mesh

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// village is a coordinator's mesh with one user and one agent of theirs, over
// real streams, and a store in memory.
type village struct {
	hub *Hub
	url *url.URL

	user, token, agent uuid.UUID

	mu      sync.Mutex // guards what follows
	revoked bool
	deleted bool
	foreign bool     // the agent is somebody else's,
	grant   string   // who lets the user in as far as this
	groups  []string // that everybody is in
}

func newVillage(t *testing.T) *village {
	t.Helper()
	v := &village{user: uuid.New(), token: uuid.New(), agent: uuid.New()}
	v.hub = New(Config{Store: v, Relays: &meshv1.Relays{}, NodeTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	srv := rpc.NewServer(rpc.ServerConfig{
		Authenticate: func(_ context.Context, token string) (any, error) {
			if text, ok := strings.CutPrefix(token, "client for "); ok {
				left, err := time.ParseDuration(text)
				return auth.Identity{Kind: auth.Client, UserID: v.user, AgentID: v.agent, TokenID: v.token, Expires: time.Now().Add(left)}, err
			}
			switch token {
			case "agent":
				return auth.Identity{Kind: auth.Agent, UserID: v.user, AgentID: v.agent}, nil
			case "proxy":
				return auth.Identity{Kind: auth.Proxy}, nil
			}
			return auth.Identity{Kind: auth.User, UserID: v.user, TokenID: v.token}, nil
		},
	}, func(r grpc.ServiceRegistrar) { meshv1.RegisterMeshServer(r, v.hub) })
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		srv.Close()
		web.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	var err error
	if v.url, err = url.Parse(web.URL); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *village) revokeToken() {
	v.mu.Lock()
	v.revoked = true
	v.mu.Unlock()
	v.hub.TokenRevoked(v.token)
}

func (v *village) deleteAgent() {
	v.mu.Lock()
	v.deleted = true
	v.mu.Unlock()
	v.hub.AgentDeleted(v.agent)
}

func (v *village) LiveToken(_ context.Context, id uuid.UUID) (store.LiveToken, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.revoked || id != v.token {
		return store.LiveToken{}, store.ErrNotFound
	}
	return store.LiveToken{Token: store.Token{ID: id, UserID: v.user}}, nil
}

func (v *village) LiveClientToken(ctx context.Context, id uuid.UUID) (store.ClientToken, error) {
	a, err := v.LiveAgent(ctx, v.agent)
	return store.ClientToken{ID: id, AgentID: a.ID, OwnerID: v.user}, err
}

func (v *village) LiveAgent(_ context.Context, id uuid.UUID) (store.MeshAgent, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.deleted || id != v.agent {
		return store.MeshAgent{}, store.ErrNotFound
	}
	owner := v.user
	if v.foreign {
		owner = v.agent
	}
	return store.MeshAgent{ID: id, OwnerID: owner, AgentName: "main", WorkspaceName: "dev", OwnerName: "alice"}, nil
}

func (v *village) GrantOf(context.Context, uuid.UUID, uuid.UUID) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.grant, nil
}

func (v *village) JoinAgent(ctx context.Context, id uuid.UUID, _, _ [32]byte, _ string) (store.AgentNode, error) {
	a, err := v.LiveAgent(ctx, id)
	if err != nil {
		return store.AgentNode{}, err
	}
	return store.AgentNode{
		Node:        store.Node{ID: id, UserID: v.user, Agent: true, Address: meshaddr.FromID(id)},
		WorkspaceID: a.WorkspaceID,
		AgentName:   "main", WorkspaceName: "dev", OwnerName: "alice",
	}, nil
}

func (v *village) JoinClient(_ context.Context, user uuid.UUID, resume string, _, _ [32]byte) (store.Node, string, error) {
	id, err := uuid.Parse(resume)
	if err != nil {
		id = uuid.New()
	}
	return store.Node{ID: id, UserID: user, Address: meshaddr.FromID(id)}, id.String(), nil
}

func (v *village) UserByID(_ context.Context, id uuid.UUID) (store.User, error) {
	return store.User{ID: id, Username: "alice"}, nil
}
func (v *village) GroupNamesOf(context.Context, uuid.UUID) ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.groups, nil
}
func (v *village) LeaveClient(context.Context, uuid.UUID) error                  { return nil }
func (v *village) RecordLiveness(context.Context, []store.AgentLiveness) error   { return nil }
func (v *village) GiveUpOnAgents(context.Context) ([]uuid.UUID, error)           { return nil, nil }
func (v *village) RecordMetadata(context.Context, []store.MetadataValue) error   { return nil }
func (v *village) RecordStats(context.Context, []store.Stats) error              { return nil }
func (v *village) RecordLinks(context.Context, []store.Link) error               { return nil }
func (v *village) DropLinks(context.Context, []store.LinkKey) error              { return nil }
func (v *village) ConnectedAgents(context.Context) ([]uuid.UUID, error)          { return nil, nil }
func (v *village) NodeKeyKnown(context.Context, [32]byte) (bool, error)          { return false, nil }
func (v *village) RecordAgentReports(context.Context, []store.AgentReport) error { return nil }
func (v *village) RecordSSHSessions(context.Context, []store.SSHSession) error   { return nil }
func (v *village) DeleteStaleClients(context.Context, time.Time, []uuid.UUID) (int64, error) {
	return 0, nil
}

// dial opens a connection; streams opens sessions on it.
func (v *village) dial(t *testing.T, token string) meshv1.MeshClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	cc, err := rpc.Dial(ctx, rpc.DialConfig{URL: v.url, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return meshv1.NewMeshClient(cc)
}

// villager is a node's end of a control stream.
type villager struct {
	t *testing.T
	meshv1.Mesh_ConnectClient
}

func open(t *testing.T, c meshv1.MeshClient) villager {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	s, err := c.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return villager{t, s}
}

func (n villager) say(up *meshv1.Up) {
	n.t.Helper()
	if err := n.Send(up); err != nil {
		n.t.Fatal(err)
	}
}

func (n villager) hello(key byte) {
	n.t.Helper()
	n.say(helloUp(key))
}

func helloUp(key byte) *meshv1.Up {
	pub, disco := [32]byte{key, 1}, [32]byte{key, 2}
	return &meshv1.Up{Msg: &meshv1.Up_Hello{Hello: &meshv1.Hello{Protocol: protocolVersion, PublicKey: pub[:], DiscoKey: disco[:], Version: "1.0"}}}
}

// until reads up to the first message that matches.
func (n villager) until(what string, match func(*meshv1.Down) bool) *meshv1.Down {
	n.t.Helper()
	for {
		down, err := n.Recv()
		if err != nil {
			n.t.Fatalf("stream ended before %s: %v", what, err)
		}
		if match(down) {
			return down
		}
	}
}

func (n villager) untilWelcome() {
	n.t.Helper()
	n.until("welcome", func(d *meshv1.Down) bool { return d.GetWelcome() != nil })
}

func (n villager) untilError(code meshv1.Error_Code) {
	n.t.Helper()
	d := n.until("an error", func(d *meshv1.Down) bool { return d.GetError() != nil })
	if got := d.GetError().GetCode(); got != code {
		n.t.Errorf("error %v (%s), want %v", got, d.GetError().GetMessage(), code)
	}
}

func TestRevokedTokenOpensNoNewStreamOnItsOldConnection(t *testing.T) {
	v := newVillage(t)
	conn := v.dial(t, "user")
	first := open(t, conn)
	first.hello('c')
	first.untilWelcome()
	v.revokeToken()
	first.untilError(meshv1.Error_REVOKED)

	second := open(t, conn)
	second.hello('c')
	if d, err := second.Recv(); err != nil || d.GetError().GetCode() != meshv1.Error_REVOKED {
		t.Errorf("a new stream on the same connection got %v, %v; want REVOKED", d, err)
	}
}

// The store says yes, then the token is revoked, then the node would enter.
func TestRevocationDuringAdmissionIsNotMissed(t *testing.T) {
	for name, c := range map[string]struct {
		token  string
		revoke func(*village)
	}{
		"token revoked":     {"user", (*village).revokeToken},
		"workspace deleted": {"agent", (*village).deleteAgent},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVillage(t)
			v.hub.cfg.Store = meanwhile{v, func() { c.revoke(v) }}
			n := open(t, v.dial(t, c.token))
			n.hello('n')
			if d, err := n.Recv(); err != nil || d.GetError().GetCode() != meshv1.Error_REVOKED {
				t.Errorf("got %v, %v; want REVOKED", d, err)
			}
		})
	}
}

// meanwhile is a store in whose joins something happens.
type meanwhile struct {
	*village
	happens func()
}

func (m meanwhile) JoinAgent(ctx context.Context, id uuid.UUID, key, disco [32]byte, version string) (store.AgentNode, error) {
	defer m.happens()
	return m.village.JoinAgent(ctx, id, key, disco, version)
}

func (m meanwhile) JoinClient(ctx context.Context, user uuid.UUID, resume string, key, disco [32]byte) (store.Node, string, error) {
	defer m.happens()
	return m.village.JoinClient(ctx, user, resume, key, disco)
}

// What one node says of itself is repeated to others, whose streams take
// messages of rpc.MaxMessage and no larger.
func TestNothingANodeSaysOfItselfBreaksAPeersStream(t *testing.T) {
	v := newVillage(t)
	agent, client := open(t, v.dial(t, "agent")), open(t, v.dial(t, "user"))
	agent.hello('a')
	agent.untilWelcome()
	client.hello('c')
	client.untilWelcome()
	client.say(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: v.agent.String()}}})
	client.until("the agent", func(d *meshv1.Down) bool { return d.GetPeer().GetState() == meshv1.Peer_HERE })

	self := &meshv1.Self{}
	for range maxEndpoints {
		self.Endpoints = append(self.Endpoints, "[fe80::1%"+strings.Repeat("z", 2020)+"]:1")
	}
	agent.say(&meshv1.Up{Msg: &meshv1.Up_Self{Self: self}})
	agent.untilError(meshv1.Error_BAD_MESSAGE)
	client.until("the agent's loss", func(d *meshv1.Down) bool { return d.GetPeer().GetState() == meshv1.Peer_LOST })
}

func TestHelloThatIsRefused(t *testing.T) {
	v := newVillage(t)
	for name, c := range map[string]struct {
		change func(*meshv1.Hello)
		want   meshv1.Error_Code
	}{
		"no public key":       {func(h *meshv1.Hello) { h.PublicKey = nil }, meshv1.Error_BAD_MESSAGE},
		"public key of zeros": {func(h *meshv1.Hello) { h.PublicKey = make([]byte, 32) }, meshv1.Error_BAD_MESSAGE},
		"disco key of zeros":  {func(h *meshv1.Hello) { h.DiscoKey = make([]byte, 32) }, meshv1.Error_BAD_MESSAGE},
		"long key":            {func(h *meshv1.Hello) { h.PublicKey = make([]byte, 33) }, meshv1.Error_BAD_MESSAGE},
		"another protocol":    {func(h *meshv1.Hello) { h.Protocol = 99 }, meshv1.Error_BAD_VERSION},
		"no protocol":         {func(h *meshv1.Hello) { h.Protocol = 0 }, meshv1.Error_BAD_VERSION},
		"only newer ones":     {func(h *meshv1.Hello) { h.Protocol, h.OldestProtocol = 99, protocolVersion+1 }, meshv1.Error_BAD_VERSION},
		"long version":        {func(h *meshv1.Hello) { h.Version = strings.Repeat("x", 1000) }, meshv1.Error_BAD_MESSAGE},
		"version with a NUL":  {func(h *meshv1.Hello) { h.Version = "1.0\x00" }, meshv1.Error_BAD_MESSAGE},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t, v.dial(t, "user"))
			up := helloUp('c')
			c.change(up.GetHello())
			n.say(up)
			n.untilError(c.want)
		})
	}
	t.Run("something else first", func(t *testing.T) {
		n := open(t, v.dial(t, "user"))
		n.say(&meshv1.Up{Msg: &meshv1.Up_Bye{Bye: &meshv1.Bye{}}})
		n.untilError(meshv1.Error_BAD_MESSAGE)
	})
}

func TestAKeyOfZerosIsNobodys(t *testing.T) {
	v := newVillage(t)
	client := open(t, v.dial(t, "user"))
	client.hello('c')
	client.say(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: v.agent.String()}}})
	client.until("the absent agent", func(d *meshv1.Down) bool { return d.GetPeer() != nil })
	if ok, err := v.hub.Vouches(t.Context(), [32]byte{}); ok || err != nil {
		t.Errorf("vouched for a key of zeros (%v)", err)
	}
}

// queued renders what an outbox holds, "gone a, policy a, peer a".
func queued(o *outbox) string {
	msgs, _ := o.take()
	var s []string
	for _, m := range msgs {
		s = append(s, render(m))
	}
	return strings.Join(s, "; ")
}

// A node that missed "gone" would keep a peer, and never say ready again for
// the one that came after it.
func TestOutboxKeepsGoneBeforeTheReturn(t *testing.T) {
	c := linked()
	o := &outbox{sending: true} // and its sender is stuck
	put := func(outs []out) {
		for _, m := range outs {
			if m.to == 1 { // the agent's
				o.put(m.msg, m.end)
			}
		}
	}
	put(c.unwant(2, agentA.id))
	put(must(c.want(2, agentA)))
	if got, want := queued(o), "peer c gone; policy c any; peer c here"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOutboxHoldsTwoStatesOfAPeerAtMost(t *testing.T) {
	c := linked()
	o := &outbox{sending: true} // and its sender is stuck
	for range 1000 {
		for _, m := range append(c.unwant(2, agentA.id), must(c.want(2, agentA))...) {
			if m.to == 1 {
				o.put(m.msg, m.end)
			}
		}
	}
	if got, want := queued(o), "peer c gone; policy c any; peer c here"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A client that asks for one stranger after the other, and reads no answer, is not kept
// an answer for each.
func TestAnswersThatNobodyReadsAreNotKept(t *testing.T) {
	v := newVillage(t)
	n := open(t, v.dial(t, "user"))
	n.hello('c')
	n.untilWelcome()
	go func() { // ends with the stream's context, at the latest
		for n.Send(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: uuid.NewString()}}}) == nil {
		}
	}()
	for deadline := time.Now().Add(5 * time.Second); ; {
		v.hub.mu.Lock()
		left := len(v.hub.sessions)
		v.hub.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is listened to for ever")
		}
		time.Sleep(time.Millisecond)
	}
}
