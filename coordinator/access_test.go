package coordinator

import (
	"errors"
	"testing"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// until reads a stream up to the first message that matches.
func until(t *testing.T, stream meshv1.Mesh_ConnectClient, what string, match func(*meshv1.Down) bool) {
	t.Helper()
	came := make(chan error, 1)
	go func() {
		for {
			down, err := stream.Recv()
			if err != nil || match(down) {
				came <- err
				return
			}
		}
	}()
	select {
	case err := <-came:
		if err != nil {
			t.Fatalf("stream ended before %s: %v", what, err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
	}
}

func peerIs(state meshv1.Peer_State) func(*meshv1.Down) bool {
	return func(d *meshv1.Down) bool { return d.GetPeer() != nil && d.GetPeer().GetState() == state }
}

// Whatever a link stood on, when it is withdrawn the link ends: at once, and also
// at the agent, which a client could otherwise go on talking to.
func TestAccessThatIsWithdrawnEndsItsLinks(t *testing.T) {
	d := deploy(t, nil)
	ctx := t.Context()
	made, err := d.alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	token := d.token(t, "bob")
	if _, err := d.alice.CreateGroup(ctx, sdk.CreateGroup{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	agent := d.join(t, made.AgentToken)
	want := &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: made.Agents[0].ID}}}
	refused := func(d *meshv1.Down) bool { return d.GetError().GetCode() == meshv1.Error_PEER_NOT_FOUND }
	withUser := func() error { return d.alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareConnect) }
	withGroup := func() error {
		return errors.Join(d.alice.ShareWithGroup(ctx, "me", "dev", "team", sdk.ShareAdmin), d.alice.AddToGroup(ctx, "default", "team", "bob"))
	}
	for _, c := range []struct {
		name            string
		share, withdraw func() error
	}{
		{"the share is taken back", withUser, func() error { return d.alice.UnshareWithUser(ctx, "me", "dev", "bob") }},
		{"its level is lowered", withUser, func() error { return d.alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareApps) }},
		{"he leaves the group", withGroup, func() error { return d.alice.RemoveFromGroup(ctx, "default", "team", "bob") }},
		{"the group is deleted", withGroup, func() error { return d.alice.DeleteGroup(ctx, "default", "team") }},
		{"he leaves the organization", withUser, func() error { return d.alice.RemoveMember(ctx, "default", "bob") }},
	} {
		bob := d.join(t, token)
		if err := bob.Send(want); err != nil {
			t.Fatal(err)
		}
		until(t, bob, "refusal before "+c.name, refused)
		if err := c.share(); err != nil {
			t.Fatal(err)
		}
		if err := bob.Send(want); err != nil {
			t.Fatal(err)
		}
		until(t, bob, "agent", peerIs(meshv1.Peer_HERE))
		until(t, agent, "client", peerIs(meshv1.Peer_HERE))

		began := time.Now()
		if err := c.withdraw(); err != nil {
			t.Fatal(err)
		}
		until(t, agent, "client's end when "+c.name, peerIs(meshv1.Peer_GONE))
		took := time.Since(began)
		t.Logf("%s: the agent was told after %v", c.name, took)
		if took > 2*time.Second { // the bus would look by itself after 3
			t.Errorf("%s: the link ended after %v", c.name, took)
		}
	}
}

// What the old owner had open to a workspace ends with its transfer, and the agent
// that they started, too. The new owner's next link is another story.
func TestTransferEndsWhatTheOldOwnerHasOpen(t *testing.T) {
	d := deploy(t, nil)
	ctx := t.Context()
	made, err := d.alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	bob := sdk.New(d.url, d.token(t, "bob"))
	agent, alice := d.join(t, made.AgentToken), d.join(t, d.alice.Token())
	want := &meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: made.Agents[0].ID}}}
	if err := alice.Send(want); err != nil {
		t.Fatal(err)
	}
	until(t, alice, "agent", peerIs(meshv1.Peer_HERE))
	if err := d.alice.OfferWorkspace(ctx, "me", "dev", "bob"); err != nil {
		t.Fatal(err)
	}
	got, err := bob.AcceptOffer(ctx, made.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	until(t, alice, "agent's end", peerIs(meshv1.Peer_GONE))
	if e := streamEnd(agent); e.GetCode() != meshv1.Error_REVOKED {
		t.Errorf("the old agent's stream ended with %v, want REVOKED", e)
	}
	if err := alice.Send(want); err != nil {
		t.Fatal(err)
	}
	until(t, alice, "refusal", func(d *meshv1.Down) bool { return d.GetError().GetCode() == meshv1.Error_PEER_NOT_FOUND })
	d.join(t, got.AgentToken)
	client := d.join(t, bob.Token())
	if err := client.Send(want); err != nil {
		t.Fatal(err)
	}
	until(t, client, "agent", peerIs(meshv1.Peer_HERE))
	if w, err := bob.Workspace(ctx, "me", "dev"); err != nil || len(w.Agents) != 1 {
		t.Errorf("bob's workspace: %+v, %v", w, err)
	}
}

// Who is linked to a workspace's agent learns what it is called now.
func TestANewNameReachesThoseWhoAreLinked(t *testing.T) {
	d := deploy(t, nil)
	ctx := t.Context()
	made, err := d.alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	d.join(t, made.AgentToken)
	client := d.join(t, d.alice.Token())
	if err := client.Send(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: made.Agents[0].ID}}}); err != nil {
		t.Fatal(err)
	}
	called := func(name string) func(*meshv1.Down) bool {
		return func(d *meshv1.Down) bool { return d.GetPeer().GetName() == name }
	}
	until(t, client, "agent", called("main.dev.alice"))
	if _, err := d.alice.RenameWorkspace(ctx, "me", "dev", "box"); err != nil {
		t.Fatal(err)
	}
	until(t, client, "new name", called("main.box.alice"))
}

// beside starts another coordinator on the database of a deployment, with clients of
// its own.
func (d *deployment) beside(t *testing.T, conf Config) *deployment {
	t.Helper()
	s, err := Open(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, s)
}

// Access ends where it is ended and wherever else somebody is connected: each
// coordinator hears of it by what is committed.
func TestAccessThatEndsEndsItsStreamsOnEveryCoordinator(t *testing.T) {
	var conf Config
	d := deploy(t, nil, func(c *Config) { conf = *c })
	there := d.beside(t, conf)
	ctx := t.Context()
	bob := sdk.New(d.url, d.token(t, "bob"))
	me, err := bob.Me(ctx)
	if err != nil {
		t.Fatal(err)
	}
	workspace := func(c *sdk.Client, name string) sdk.CreatedWorkspace {
		t.Helper()
		made, err := c.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, External: true})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	token := func() sdk.CreatedToken {
		t.Helper()
		made, err := bob.CreateToken(ctx, sdk.CreateToken{Name: "other"})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	given, deleted, mine := workspace(d.alice, "given"), workspace(bob, "deleted"), workspace(bob, "mine")
	givenAgent, deletedAgent, mineAgent := there.join(t, given.AgentToken), there.join(t, deleted.AgentToken), there.join(t, mine.AgentToken)
	alice := there.join(t, d.alice.Token())

	if err := d.alice.OfferWorkspace(ctx, "me", "given", "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AcceptOffer(ctx, given.ID, ""); err != nil {
		t.Fatal(err)
	}
	ends(t, "the agent of the old owner", givenAgent)
	if err := bob.DeleteWorkspace(ctx, "me", "deleted"); err != nil {
		t.Fatal(err)
	}
	ends(t, "the agent of a workspace that is deleted", deletedAgent)

	yes, no := true, false
	for _, c := range []struct {
		name string
		end  func(sdk.CreatedToken) error
		back func() error
	}{
		{"the token is revoked", func(made sdk.CreatedToken) error { return bob.RevokeToken(ctx, made.ID) }, nil},
		{"the user is suspended", func(sdk.CreatedToken) error {
			_, err := d.alice.ChangeUser(ctx, "bob", sdk.ChangeUser{Suspended: &yes})
			return err
		}, func() error {
			_, err := d.alice.ChangeUser(ctx, "bob", sdk.ChangeUser{Suspended: &no})
			return err
		}},
		{"the user leaves an organization", func(sdk.CreatedToken) error { return d.alice.RemoveMember(ctx, "default", me.Username) },
			func() error { return d.alice.SetMember(ctx, "default", me.Username, "member") }},
	} {
		made := token()
		node, log := there.join(t, made.Text), there.follow(t, made.Text, "mine")
		began := time.Now()
		if err := c.end(made); err != nil {
			t.Fatal(err)
		}
		ends(t, "a node, when "+c.name, node)
		<-log // or the test hangs
		t.Logf("%s: what was open elsewhere ended after %v", c.name, time.Since(began))
		if c.back != nil {
			if err := c.back(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Nobody else noticed.
	for name, s := range map[string]meshv1.Mesh_ConnectClient{"alice": alice, "bob's agent": mineAgent} {
		if err := s.Send(&meshv1.Up{Msg: &meshv1.Up_Self{Self: &meshv1.Self{}}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ends waits for the end of a stream whose access was taken away.
func ends(t *testing.T, whose string, stream meshv1.Mesh_ConnectClient) {
	t.Helper()
	until(t, stream, "the end of "+whose, func(d *meshv1.Down) bool { return d.GetError().GetCode() == meshv1.Error_REVOKED })
}
