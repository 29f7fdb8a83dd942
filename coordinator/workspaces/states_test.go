package workspaces

import (
	"errors"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

func TestStateThatDoesNotDescendIsPutAside(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	for _, c := range []struct {
		lineage string
		serial  uint64
		data    string
		current bool
	}{
		{"line", 4, `{"n":4}`, true},
		{"line", 4, `{"n":4}`, true}, // said again
		{"line", 4, `{"n":"other"}`, false},
		{"line", 3, `{"n":3}`, false},
		{"stranger", 9, `{"n":9}`, false},
		{"line", 6, `{"n":6}`, true},
		{"line", 7, `{"n":`, false}, // Terraform was killed while it wrote
	} {
		if current, err := p.save(ref, c.lineage, c.serial, c.data); err != nil || current != c.current {
			t.Errorf("state %d of %s: current is %v, %v, want %v", c.serial, c.lineage, current, err, c.current)
		}
	}
	if s, err := l.State(t.Context(), w.ID); err != nil || string(s) != `{"n":6}` {
		t.Errorf("state is %s, %v", s, err)
	}
	if s, err := p.load(ref); err != nil || s != `{"n":6}` {
		t.Errorf("a build starts from %s, %v", s, err)
	}
	must(t, p.finish(ref, provisionerv1.Result_FAILED, "x"))
}

const pushed = `{"version":4,"serial":5,"lineage":"line"}`

func TestStateIsPushedByThoseInNeed(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	must(t, p.planned(ref))
	if err := l.PushState(t.Context(), w.ID, []byte(pushed), true); !errors.As(err, new(*Underway)) {
		t.Errorf("push during a build: %v", err)
	}
	p.close()
	p = l.join("host", "built-in") // and has it no more
	l.phase(w.ID, store.PhaseFailed)
	if _, err := l.move(w.ID, store.Start); !errors.As(err, new(*StateHeld)) {
		t.Fatalf("start: %v, want *StateHeld", err)
	}
	if err := l.PushState(t.Context(), w.ID, []byte("no state"), true); !errors.As(err, new(*BadInput)) {
		t.Errorf("push of nonsense: %v", err)
	}
	must(t, l.PushState(t.Context(), w.ID, []byte(pushed), false))
	if _, err := l.move(w.ID, store.Start); err != nil {
		t.Errorf("start after the push: %v", err)
	}
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_FAILED, "x"))
	older := strings.Replace(pushed, `"serial":5`, `"serial":2`, 1)
	if err := l.PushState(t.Context(), w.ID, []byte(older), false); !errors.As(err, new(*NoDescent)) {
		t.Errorf("push of an older state: %v, want *NoDescent", err)
	}
	must(t, l.PushState(t.Context(), w.ID, []byte(pushed), false)) // what was pulled
	must(t, l.PushState(t.Context(), w.ID, []byte(older), true))
	if s, err := l.State(t.Context(), w.ID); err != nil || string(s) != older {
		t.Errorf("state is %s, %v", s, err)
	}
}

func TestStatesAreSealedAndKeysRotated(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.template(p)
	w, other := l.workspace(tmpl, "one"), l.workspace(tmpl, "two")
	ref, ref2 := p.job().GetRef(), p.job().GetRef()
	for i, r := range []*provisionerv1.JobRef{ref, ref2} {
		_, err := p.save(r, "line", 1, `{"secret":"hunter`+string(rune('1'+i))+`"}`)
		must(t, err)
	}
	kept, err := l.st.CurrentState(t.Context(), w.ID)
	must(t, err)
	if strings.Contains(string(kept.Sealed), "hunter") {
		t.Error("the state is not sealed")
	}
	moved := kept
	moved.WorkspaceID = other.ID
	if _, err := l.open(moved); err == nil {
		t.Error("a state opens as another workspace's")
	}
	bad := kept
	bad.Sealed = append([]byte(nil), kept.Sealed...)
	bad.Sealed[len(bad.Sealed)-1] ^= 1
	if _, err := l.open(bad); err == nil {
		t.Error("a state that was tampered with opens")
	}

	// A new key in front, the old one behind it until all is sealed anew.
	old, text := l.keyText, seal.NewKey()
	l.withKeys(text + old)
	if n, err := l.Reseal(t.Context()); err != nil || n != 2 {
		t.Errorf("resealed %d, %v, want 2", n, err)
	}
	l.withKeys(text)
	if s, err := l.State(t.Context(), w.ID); err != nil || string(s) != `{"secret":"hunter1"}` {
		t.Errorf("after the rotation the state is %s, %v", s, err)
	}
	l.withKeys(old)
	if _, err := l.State(t.Context(), w.ID); err == nil || !strings.Contains(err.Error(), "add it to the key file") {
		t.Errorf("without the key: %v", err)
	}
}
