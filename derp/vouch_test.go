package derp

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// asked is a coordinator that counts questions.
type asked struct {
	n    int
	ok   bool
	away bool
}

var errAway = errors.New("no route")

func (a *asked) ask(context.Context, [32]byte) (bool, error) {
	a.n++
	if a.away {
		return false, errAway
	}
	return a.ok, nil
}

func TestKnownNodesAreServedWhileTheCoordinatorIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &asked{ok: true}
		v := newVouches(c.ask)
		in := func(key byte) bool {
			ok, err := v.admit(t.Context(), [32]byte{key})
			if err != nil && !errors.Is(err, errAway) {
				t.Fatal(err)
			}
			return ok
		}
		for range 2 {
			if !in(1) {
				t.Error("a node that the coordinator vouches for is not admitted")
			}
		}
		if c.n != 1 {
			t.Errorf("a node that came twice was asked for %d times", c.n)
		}
		c.away = true
		time.Sleep(vouchFresh)
		if !in(1) {
			t.Error("a known node is not served while the coordinator is away")
		}
		if in(2) {
			t.Error("a node that nobody has vouched for came in")
		}
		time.Sleep(vouchKept)
		if in(1) {
			t.Errorf("a node is known after %v without a word of the coordinator", vouchKept)
		}
		c.away, c.ok = false, true
		if !in(1) {
			t.Error("a node is not admitted once the coordinator is back")
		}
		c.ok = false
		time.Sleep(vouchFresh)
		if in(1) {
			t.Error("a node came in that the coordinator knows no more")
		}
		c.away = true
		if in(1) {
			t.Error("a node that was refused is remembered as one that was not")
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	v := newVouches((&asked{ok: true}).ask)
	for i := range uint64(vouchMost + 10) {
		var key [32]byte
		binary.BigEndian.PutUint64(key[:], i)
		if ok, err := v.admit(t.Context(), key); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if len(v.known) > vouchMost {
		t.Errorf("%d keys are remembered, want at most %d", len(v.known), vouchMost)
	}
}
