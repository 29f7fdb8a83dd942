package main

import (
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestAShellIsOfferedOnlyWhereThereIsOne(t *testing.T) {
	agents := []sdk.Agent{{Name: "main"}}
	for _, tc := range []struct {
		phase  string
		agents []sdk.Agent
		want   string
	}{
		{"running", agents, "is running. Open a shell: adit ssh ann/dev"},
		{"running", nil, "is running. Its template has no agent"},
		{"pending", nil, "is pending; 'adit logs -f ann/dev'"},
		{"starting", agents, "is starting; 'adit logs -f ann/dev'"},
	} {
		w := sdk.Workspace{Owner: "ann", Name: "dev", Phase: tc.phase, Agents: tc.agents}
		if got := whatNow(w); !strings.Contains(got, strings.ReplaceAll(tc.want, "ann/dev", w.Ref())) {
			t.Errorf("%s with %d agents: %q, want %q", tc.phase, len(tc.agents), got, tc.want)
		}
	}
}
