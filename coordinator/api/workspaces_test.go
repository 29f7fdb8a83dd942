package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/sdk"
)

func makeWorkspace(t *testing.T, c *sdk.Client, name string) sdk.CreatedWorkspace {
	t.Helper()
	w, err := c.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: name, External: true})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorkspaceFromCreateToDelete(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	made := makeWorkspace(t, alice, "dev")
	if len(made.Agents) != 1 {
		t.Fatalf("agents: %+v, want one", made.Agents)
	}
	agent := made.Agents[0]
	id := uuid.MustParse(agent.ID)
	if agent.State != "connecting" || agent.NodeID != agent.ID || agent.Address != meshaddr.FromID(id) {
		t.Errorf("agent: %+v", agent)
	}
	if want := "adit agent --url " + d.url.String() + " --token " + made.AgentToken; made.AgentCommand != want {
		t.Errorf("command %q, want %q", made.AgentCommand, want)
	}
	if who, err := d.auth.Authenticate(t.Context(), made.AgentToken); err != nil || who.Kind != auth.Agent || who.AgentID != id {
		t.Errorf("the agent's token is %+v's, %v", who, err)
	}

	for _, owner := range []string{"me", "alice", "ALICE"} {
		if w, err := alice.Workspace(t.Context(), owner, "dev"); err != nil || w.ID != made.ID {
			t.Errorf("%s/dev: %+v, %v", owner, w, err)
		}
	}
	if list, err := alice.Workspaces(t.Context(), "me"); err != nil || len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("list: %+v, %v", list, err)
	}
	if _, err := alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", External: true}); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("a second dev: %v, want ErrConflict", err)
	}

	if err := alice.DeleteWorkspace(t.Context(), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.revoked.agents, []uuid.UUID{id}) {
		t.Errorf("cut off %v, want %v", d.revoked.agents, id)
	}
	if _, err := d.auth.Authenticate(t.Context(), made.AgentToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the deleted workspace's agent: %v, want ErrUnauthenticated", err)
	}
	if _, err := alice.Workspace(t.Context(), "me", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("deleted: %v, want ErrNotFound", err)
	}
	if err := alice.DeleteWorkspace(t.Context(), "me", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("deleted twice: %v, want ErrNotFound", err)
	}
	if again := makeWorkspace(t, alice, "dev"); again.ID == made.ID || again.Agents[0].ID == agent.ID {
		t.Error("the name's next holder took over an identity")
	}
}

// What is somebody else's does not exist, not even for the deployment's owner.
func TestForeignWorkspacesDoNotExist(t *testing.T) {
	d := deploy(t)
	alice, bob, owner := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember), d.add(t, "root", store.RoleOwner)
	made := makeWorkspace(t, alice, "dev")
	for name, c := range map[string]*sdk.Client{"bob": bob, "the owner": owner} {
		_, foreign := c.Workspace(t.Context(), "alice", "dev")
		_, missing := c.Workspace(t.Context(), "alice", "none")
		if !errors.Is(foreign, sdk.ErrNotFound) || foreign.Error() != missing.Error() {
			t.Errorf("%s sees alice/dev: %v; and alice/none: %v; want the same 404", name, foreign, missing)
		}
		if err := c.DeleteWorkspace(t.Context(), "alice", "dev"); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s deletes alice/dev: %v, want ErrNotFound", name, err)
		}
		if list, err := c.Workspaces(t.Context(), "me"); err != nil || len(list) != 0 {
			t.Errorf("%s lists %+v, %v", name, list, err)
		}
	}
	if len(d.revoked.agents) != 0 {
		t.Errorf("cut off %v", d.revoked.agents)
	}
	if _, err := bob.Workspaces(t.Context(), "all"); status(err) != http.StatusForbidden {
		t.Errorf("bob lists all: %v, want 403", err)
	}
	if list, err := owner.Workspaces(t.Context(), "all"); err != nil || len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("the owner lists all: %+v, %v", list, err)
	}
	makeWorkspace(t, bob, "dev") // names are one's own
}

func TestWorkspaceNamesAreLabels(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	for _, name := range []string{"", "-a", "a-", "A", "a b", "a.b", "a/b", "ä", "a\n", strings.Repeat("a", 33)} {
		_, err := alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: name, External: true})
		if status(err) != http.StatusUnprocessableEntity {
			t.Errorf("%q: %v, want 422", name, err)
		}
	}
	for _, name := range []string{"a", "0", "a-b", strings.Repeat("a", 32)} {
		makeWorkspace(t, alice, name)
	}
	if _, err := alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "tmpl"}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("not external: %v, want 422", err)
	}
}

func TestTwoWorkspacesOfOneNameAtOnce(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	const n = 4
	results := make(chan error, n)
	for range n {
		go func(ctx context.Context) {
			_, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
			results <- err
		}(t.Context())
	}
	won := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, sdk.ErrConflict):
			t.Errorf("loser: %v, want ErrConflict", err)
		}
	}
	if won != 1 {
		t.Errorf("%d were made, want 1", won)
	}
}

func TestConnectionsAreForTheOwnerAlone(t *testing.T) {
	d := deploy(t)
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleOwner)
	makeWorkspace(t, alice, "dev")
	list, err := alice.Connections(t.Context(), "me", "dev")
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v, want one connection", list, err)
	}
	want := sdk.Verdict{Code: "udp-blocked", Evidence: "silence", Fix: "open it"}
	if c := list[0]; c.Agent != "main" || c.Client != "alice" || c.ByAgent != nil || c.ByClient.Path != "derp" || *c.ByClient.Verdict != want {
		t.Errorf("%+v", c)
	}
	if _, err := bob.Connections(t.Context(), "alice", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("somebody else's: %v, want ErrNotFound", err)
	}
}
