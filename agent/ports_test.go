package agent

import (
	"slices"
	"testing"

	"github.com/aditmesh/adit/agent/task"
	"github.com/aditmesh/adit/pkg/sdk"
)

// What repositories say of ports reaches the coordinator in the words of templates,
// and nothing of it is for strangers.
func TestWhatRepositoriesSayOfPorts(t *testing.T) {
	out := newOutgoing()
	out.begins("/home/dev")
	out.says(settingsOf([]task.Port{
		{First: 3000, Last: 3010, Name: "Preview", OnOpen: "open-preview", Visibility: "public", Protocol: "http"},
		{First: 5432, Last: 5432, OnOpen: "ignore", Visibility: "private"},
	}))
	out.says(settingsOf([]task.Port{{First: 80, Last: 80}}))
	want := []sdk.PortSetting{
		{First: 3000, Last: 3010, Label: "Preview", Protocol: "http", OnOpen: "open", Visibility: "authenticated"},
		{First: 5432, Last: 5432, OnOpen: "ignore", Visibility: "owner"},
		{First: 80, Last: 80, OnOpen: "notify", Visibility: "owner"},
	}
	if got := out.said(); !slices.Equal(got, want) {
		t.Errorf("said %+v, want %+v", got, want)
	}
	told := out.take(true).GetState()
	if told.GetDirectory() != "/home/dev" || len(told.GetPortSettings()) != len(want) {
		t.Errorf("told %+v", told)
	}
	out.ports(nil) // what listens changes nothing of it
	if again := out.take(false).GetState(); again.GetDirectory() != "/home/dev" || len(again.GetPortSettings()) != len(want) {
		t.Errorf("told again: %+v", again)
	}
	if p := knownProtocol(out.said(), 3005); p != "http" {
		t.Errorf("port 3005 speaks %q", p)
	}
}

func TestRepositoriesThatSayTooMuchOfPorts(t *testing.T) {
	out := newOutgoing()
	for range 3 {
		out.says(make([]sdk.PortSetting, maxPortSettings/2+1))
	}
	if n := len(out.take(true).GetState().GetPortSettings()); n != maxPortSettings {
		t.Errorf("%d settings are told of, and the coordinator takes %d", n, maxPortSettings)
	}
}
