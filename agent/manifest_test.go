package agent

import (
	"slices"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestWhereSessionsBegin(t *testing.T) {
	for wanted, want := range map[string]string{
		"": "", "/srv": "/srv", "~": "/home/x", "~/code": "/home/x/code", "code": "/home/x/code", "~other": "/home/x/~other",
	} {
		if got := directory(wanted, "/home/x"); got != want {
			t.Errorf("%q: %q, want %q", wanted, got, want)
		}
	}
}

func TestSessionsKnowTheirWorkspaceAndNotItsToken(t *testing.T) {
	got := sessionEnv([]string{"PATH=/bin", "ADIT_AGENT_TOKEN=secret", "LANG=C"},
		sdk.Manifest{Workspace: "dev", Owner: "alice", Agent: "main", Env: map[string]string{"B": "2", "A": "$x", "LANG": "de", "": "none", "C=": "d", "N": "\x00"}})
	want := []string{"PATH=/bin", "LANG=C", "A=$x", "B=2", "LANG=de", "ADIT_WORKSPACE=dev", "ADIT_OWNER=alice", "ADIT_AGENT=main"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
