package api

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestAWatchTellsOfPorts(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	w := external(t, alice, "dev")
	agent := uuid.MustParse(w.Agents[0].ID)
	var settings []store.PortSetting
	tell := func(ports ...store.AgentPort) {
		t.Helper()
		if err := d.store.RecordAgentReports(t.Context(), []store.AgentReport{{AgentID: agent, Ports: ports, PortSettings: settings}}); err != nil {
			t.Fatal(err)
		}
	}
	web := store.AgentPort{Network: "tcp", Port: 3000, Address: "127.0.0.1", Process: "node", PID: 7, Protocol: "http"}
	tell(web)
	if list, err := alice.WorkspacePorts(t.Context(), "me", "dev"); err != nil || len(list) != 0 {
		t.Errorf("an agent that is not connected has ports: %v, %v", list, err)
	}
	d.connected(t, w)
	list, err := alice.WorkspacePorts(t.Context(), "me", "dev")
	want := sdk.Port{
		Agent: "main", Network: "tcp", Port: 3000, Listening: true, Address: "127.0.0.1", Process: "node", PID: 7, Protocol: "http", OnOpen: "notify", Visibility: "owner",
	}
	if err != nil || len(list) != 1 || list[0] != want {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, topic := range []string{sdk.WatchWorkspaces, sdk.WatchAgents} {
		got := watchUntil(t, alice, sdk.Watching{Topic: topic, WorkspaceID: w.ID}, func() {
			tell(web) // the same is no news
			tell()
			tell(web)
		}, func(c sdk.Change) bool { return c.Kind == sdk.KindPorts && len(c.Data["ports"].([]any)) == 1 })
		if len(got) != 2 || got[0].Data["agent"] != "main" || len(got[0].Data["ports"].([]any)) != 0 {
			t.Errorf("%s: told %+v", topic, got)
		}
	}
	// So does what a repository says of one.
	watchUntil(t, alice, sdk.Watching{Topic: sdk.WatchAgents, WorkspaceID: w.ID}, func() {
		settings = []store.PortSetting{{First: 3000, Last: 3000, Label: "Preview", OnOpen: "open", Visibility: "authenticated"}}
		tell(web)
	}, func(c sdk.Change) bool { return c.Kind == sdk.KindPorts })
	want.Label, want.OnOpen, want.Visibility = "Preview", "open", "authenticated"
	if list, err := alice.WorkspacePorts(t.Context(), "me", "dev"); err != nil || len(list) != 1 || list[0] != want {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestTheNarrowestSettingOfAPortHolds(t *testing.T) {
	settings := []*provisionerv1.Port{
		{First: 1, Last: 4000, OnOpen: "ignore", Visibility: "owner"},
		{First: 3000, Last: 3010, Label: "previews", OnOpen: "open", Visibility: "authenticated"},
		{First: 3001, Last: 3001, Label: "the preview", Protocol: "https", OnOpen: "notify", Visibility: "public"},
	}
	seen := []store.AgentPort{{Network: "tcp", Port: 3000, Protocol: "http"}, {Network: "udp", Port: 3001, Protocol: "udp"}, {Network: "tcp", Port: 80, Protocol: "http"}}
	repositories := []store.PortSetting{
		{First: 3001, Last: 3001, Label: "the template's is another", OnOpen: "open", Visibility: "owner"},
		{First: 8080, Last: 8080, Label: "named by a repository", Protocol: "http", OnOpen: "open", Visibility: "authenticated"},
	}
	list := portsJSON("main", store.AgentReport{Ports: seen, PortSettings: repositories}, settings, nil)
	want := []sdk.Port{
		{Agent: "main", Network: "tcp", Port: 3000, Listening: true, Protocol: "http", Label: "previews", OnOpen: "open", Visibility: "authenticated"},
		{Agent: "main", Network: "udp", Port: 3001, Listening: true, Protocol: "udp", Label: "the preview", OnOpen: "notify", Visibility: "public"},
		{Agent: "main", Network: "tcp", Port: 80, Listening: true, Protocol: "http", OnOpen: "ignore", Visibility: "owner"},
		{Agent: "main", Network: "tcp", Port: 3001, Protocol: "https", Label: "the preview", OnOpen: "notify", Visibility: "public"},
		{Agent: "main", Network: "tcp", Port: 8080, Protocol: "http", Label: "named by a repository", OnOpen: "open", Visibility: "authenticated"},
	}
	if len(list) != len(want) {
		t.Fatalf("got %+v", list)
	}
	for i := range want {
		if list[i] != want[i] {
			t.Errorf("got %+v, want %+v", list[i], want[i])
		}
	}
}

// Who may open a port is as its owner has chosen, until that is taken back.
func TestAPortsVisibilityIsChosen(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice := d.add(t, "alice", store.RoleMember)
	external(t, alice, "dev")
	visible := func(want map[int]string) {
		t.Helper()
		list, err := alice.WorkspacePorts(ctx, "me", "dev")
		if err != nil || len(list) != len(want) {
			t.Fatalf("%+v, %v, want %v", list, err, want)
		}
		for _, p := range list {
			if p.Visibility != want[p.Port] || p.Listening {
				t.Errorf("%+v, want it to be for %s", p, want[p.Port])
			}
		}
	}
	set := func(agent string, port int, visibility string) int {
		return status(alice.SetPortVisibility(ctx, "me", "dev", agent, port, visibility))
	}
	if a, b := set("main", 3000, sdk.VisiblePublic), set("main", 3001, sdk.VisibleAuthenticated); a != 0 || b != 0 {
		t.Fatalf("chosen: %d, %d", a, b)
	}
	visible(map[int]string{3000: sdk.VisiblePublic, 3001: sdk.VisibleAuthenticated})
	if n := set("main", 3000, sdk.VisibleOwner); n != 0 {
		t.Fatalf("chosen again: %d", n)
	}
	if err := alice.ResetPortVisibility(ctx, "me", "dev", "main", 3001); err != nil {
		t.Fatal(err)
	}
	visible(map[int]string{3000: sdk.VisibleOwner})
	for what, got := range map[string]int{
		"no agent": set("none", 80, sdk.VisiblePublic), "no port": set("main", 0, sdk.VisiblePublic), "too large": set("main", 65536, sdk.VisiblePublic),
		"no level": set("main", 80, "everybody"), "nothing to take back": status(alice.ResetPortVisibility(ctx, "me", "dev", "main", 3001)),
	} {
		if got != http.StatusNotFound && got != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", what, got)
		}
	}
}
