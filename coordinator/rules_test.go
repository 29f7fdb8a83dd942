package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// The rules of coordination, over real streams and a real database. Those that
// need no database are scripts in coordinator/mesh.

func hello(key byte) *meshv1.Hello {
	pub, disco := [32]byte{key, 1}, [32]byte{key, 2}
	return &meshv1.Hello{Protocol: 1, PublicKey: pub[:], DiscoKey: disco[:]}
}

// workspace makes a workspace of alice's.
func (d *deployment) workspace(t *testing.T, name string) sdk.CreatedWorkspace {
	t.Helper()
	w, err := d.alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: name, External: true})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// token makes another user and returns an API token of theirs.
func (d *deployment) token(t *testing.T, username string) string {
	t.Helper()
	u, err := d.server.store.CreateUser(t.Context(), store.NewUser{
		Username: username, Email: username + "@example.com", PasswordHash: "x", Role: store.RoleMember,
	})
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := auth.New(d.server.store).IssueToken(t.Context(), u.ID, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func want(t *testing.T, s meshv1.Mesh_ConnectClient, peer string) {
	t.Helper()
	if err := s.Send(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: peer}}}); err != nil {
		t.Fatal(err)
	}
}

// about returns the next thing that a node hears of a peer.
func about(t *testing.T, s meshv1.Mesh_ConnectClient) (*meshv1.Peer, *meshv1.Error) {
	t.Helper()
	for {
		down, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if down.GetPeer() != nil || down.GetError() != nil {
			return down.GetPeer(), down.GetError()
		}
	}
}

func TestRule1AddressesAndKeysAreTheCoordinatorsToGive(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	agentID := w.Agents[0].ID
	agent, welcome := d.hello(t, w.AgentToken, hello('a'))
	address := meshaddr.FromID(uuid.MustParse(agentID)).String()
	if got := welcome.GetWelcome(); got.GetNodeId() != agentID || got.GetAddress() != address {
		t.Errorf("agent is %s at %s, want %s at %s", got.GetNodeId(), got.GetAddress(), agentID, address)
	}
	// Neither its owner's client nor another agent may take its key.
	other := d.workspace(t, "other")
	for name, token := range map[string]string{"client": d.alice.Token(), "agent": other.AgentToken} {
		if _, down := d.hello(t, token, hello('a')); down.GetError().GetCode() != meshv1.Error_KEY_IN_USE {
			t.Errorf("%s with the agent's key: %v, want KEY_IN_USE", name, down)
		}
	}
	// What it says of itself changes where it is, not who: peers get the one
	// address, and that is all they let it use.
	self := &meshv1.Self{Endpoints: []string{"[" + meshaddr.FromID(uuid.New()).String() + "]:1"}}
	if err := agent.Send(&meshv1.Up{Msg: &meshv1.Up_Self{Self: self}}); err != nil {
		t.Fatal(err)
	}
	client := d.join(t, d.alice.Token())
	want(t, client, agentID)
	if p, e := about(t, client); e != nil || len(p.GetAddresses()) != 1 || p.GetAddresses()[0] != address {
		t.Errorf("peers learn %v, %v, want the address %s alone", p, e, address)
	}
}

func TestRule2AnOwnerReachesTheirWorkspacesAndNobodyElseDoes(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	agentID := w.Agents[0].ID
	agent, _ := d.hello(t, w.AgentToken, hello('a'))
	neighbour, _ := d.hello(t, d.workspace(t, "other").AgentToken, hello('b'))
	eve := d.join(t, d.token(t, "eve"))

	want(t, eve, uuid.NewString())
	_, missing := about(t, eve)
	for name, s := range map[string]meshv1.Mesh_ConnectClient{"another user": eve, "another agent": neighbour} {
		want(t, s, agentID)
		if p, e := about(t, s); e.GetCode() != meshv1.Error_PEER_NOT_FOUND || e.GetMessage() != missing.GetMessage() {
			t.Errorf("%s: %v, %v, want the answer for what does not exist", name, p, e)
		}
	}
	owner := d.join(t, d.alice.Token())
	want(t, owner, agentID)
	if p, e := about(t, owner); e != nil || p.GetId() != agentID || p.GetState() != meshv1.Peer_HERE {
		t.Errorf("the owner: %v, %v", p, e)
	}
	// The first and only peer that the agent hears of is its owner's client.
	if p, e := about(t, agent); e != nil || p.GetName() != "alice" {
		t.Errorf("the agent hears of %v, %v", p, e)
	}
}

// Whoever watches the mesh sees by which paths the packets of their workspaces travel,
// as the ends say, until there is no link any more; whom it is shared with does not.
func TestAWatchOfTheMeshTellsPathsOfLinks(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	agentID := w.Agents[0].ID
	agent, _ := d.hello(t, w.AgentToken, hello('a'))
	client, down := d.hello(t, d.alice.Token(), hello('c'))
	clientID := down.GetWelcome().GetNodeId()
	want(t, client, agentID)
	about(t, agent)
	say := func(s meshv1.Mesh_ConnectClient, v *meshv1.Verdict) {
		t.Helper()
		if err := s.Send(&meshv1.Up{Msg: &meshv1.Up_Verdict{Verdict: v}}); err != nil {
			t.Fatal(err)
		}
	}
	relayed := &meshv1.Verdict{Peer: agentID, Path: "derp", Region: "fra", RttUs: 12_500, Mtu: 1280, Reason: "udp-blocked", Evidence: "silence", Fix: "open it"}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var told []string
	err := d.alice.Watch(ctx, sdk.Watching{Topic: sdk.WatchMesh}, func() error {
		say(client, relayed)
		return nil
	}, func(c sdk.Change) error {
		if c.Kind != "link" {
			return nil
		}
		if c.Data["agent"] != "main" || c.Data["agent_id"] != agentID || c.Data["client_node_id"] != clientID || c.WorkspaceID != w.ID {
			t.Errorf("%+v", c)
		}
		path, _ := c.Data["by_client"].(map[string]any)
		verdict, _ := path["verdict"].(map[string]any)
		back, _ := c.Data["by_agent"].(map[string]any)
		told = append(told, fmt.Sprint(c.Action, " ", path["path"], " ", path["region"], " ", path["rtt_ms"], " ", verdict["code"], " ", back["path"]))
		switch len(told) {
		case 1:
			say(client, relayed) // again, as after an outage: nothing new
			say(agent, &meshv1.Verdict{Peer: clientID, Path: "direct", RttUs: 900, Mtu: 1400})
		case 2:
			say(client, &meshv1.Verdict{Peer: agentID, Path: "direct", RttUs: 900, Mtu: 1400})
		case 3:
			if err := client.Send(&meshv1.Up{Msg: &meshv1.Up_Unwant{Unwant: &meshv1.Unwant{Peer: agentID}}}); err != nil {
				t.Error(err)
			}
		default:
			return sdk.ErrEnough
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if want := []string{
		"created derp fra 12.5 udp-blocked <nil>", "changed derp fra 12.5 udp-blocked direct", "changed direct <nil> 0.9 <nil> direct",
		"deleted <nil> <nil> <nil> <nil> <nil>",
	}; !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestRule5AResumeTokenKeepsTheNodeAcrossStreams(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	agent, _ := d.hello(t, w.AgentToken, hello('a'))
	client, down := d.hello(t, d.alice.Token(), hello('c'))
	first := down.GetWelcome()
	want(t, client, w.Agents[0].ID)
	if p, e := about(t, agent); e != nil || p.GetState() != meshv1.Peer_HERE {
		t.Fatalf("the agent hears of %v, %v", p, e)
	}

	again := hello('c')
	again.ResumeToken = first.GetResumeToken()
	_, down = d.hello(t, d.alice.Token(), again)
	if w := down.GetWelcome(); w.GetNodeId() != first.GetNodeId() || w.GetAddress() != first.GetAddress() {
		t.Errorf("resumed as %v, want %v", w, first)
	}
	if p, e := about(t, agent); e != nil || p.GetId() != first.GetNodeId() || p.GetState() != meshv1.Peer_HERE {
		t.Errorf("the agent hears of %v, %v, want the same client, here", p, e)
	}

	// Somebody else's token is nothing to eve.
	stolen := hello('e')
	stolen.ResumeToken = first.GetResumeToken()
	if _, down := d.hello(t, d.token(t, "eve"), stolen); down.GetWelcome().GetNodeId() == first.GetNodeId() {
		t.Error("eve took alice's node")
	}
}
