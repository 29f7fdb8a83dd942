package workspaces

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/seal"
)

// What clients know an agent by is the same over builds, restarts of the
// coordinator and rotations of its key, and no other agent's.
func TestHostKeysStay(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	must(t, p.planned(p.job().GetRef(), "main", "db"))
	ws, err := l.st.WorkspacesByIDs(t.Context(), []uuid.UUID{w.ID})
	must(t, err)
	ask := func(i int, knows bool) (seed []byte, public string) {
		t.Helper()
		m, err := l.AgentManifest(t.Context(), ws[0].Agents[i].ID)
		must(t, err)
		seed, err = l.AgentHostKey(t.Context(), m, knows)
		must(t, err)
		again, err := l.st.WorkspacesByIDs(t.Context(), []uuid.UUID{w.ID})
		must(t, err)
		return seed, again[0].Agents[i].HostKey
	}
	one, public := ask(0, true)
	two, _ := ask(1, true)
	if len(one) != 32 || len(public) < 60 || bytes.Equal(one, two) {
		t.Fatalf("seeds of %d and %d bytes, public %q", len(one), len(two), public)
	}

	next := seal.NewKey()
	l.withKeys(next + l.keyText)
	_, err = l.Reseal(t.Context())
	must(t, err)
	l.withKeys(next) // and the older one is gone
	if seed, p := ask(0, true); !bytes.Equal(seed, one) || p != public {
		t.Errorf("after a rotation and a restart the key is %q, it was %q", p, public)
	}

	// An older agent has a key that nobody can vouch for, and so has one whose
	// coordinator has lost its own.
	if seed, p := ask(0, false); seed != nil || p != "" {
		t.Errorf("who did not ask is known by %q", p)
	}
	l.withKeys(seal.NewKey())
	if seed, p := ask(0, true); seed != nil || p != "" {
		t.Errorf("without the state key it is known by %q", p)
	}
}
