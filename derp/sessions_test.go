package derp

import (
	"errors"
	"sync"
	"testing"
	"time"

	"tailscale.com/types/key"
)

// room opens sessions of new pairs for a node, and returns how many it was given.
func (p *passing) room(by key.NodePublic, tries int) (given int) {
	p.t.Helper()
	for range tries {
		switch _, err := p.open(key.NewDisco().Public(), key.NewDisco().Public(), by, p.now); {
		case err == nil:
			given++
		case !errors.Is(err, errTooMany):
			p.t.Fatal(err)
		}
	}
	return given
}

func TestSessionsOfANodeAreBounded(t *testing.T) {
	p := startPassing(t)
	p.each, p.most = 10, 100
	greedy, other := key.NewNode().Public(), key.NewNode().Public()
	a, b := key.NewDisco().Public(), key.NewDisco().Public()
	first, err := p.open(a, b, greedy, p.now)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.room(greedy, 20); got != 9 {
		t.Errorf("a node is given %d more, want 9", got)
	}
	for _, by := range []key.NodePublic{greedy, other} {
		if again, err := p.open(b, a, by, p.now); again != first || err != nil {
			t.Errorf("the pair's own session is %v, %v", again, err)
		}
	}
	if got := p.room(other, 1); got != 1 {
		t.Error("what one node holds keeps others out")
	}

	p.now = p.now.Add(bindWithin + time.Second) // all have ended
	p.looked = p.now.Add(-sessionsPause / 2)
	if p.room(greedy, 1) != 0 {
		t.Error("it was looked again at once")
	}
	p.now = p.now.Add(sessionsPause)
	if p.room(greedy, 1) != 1 {
		t.Error("sessions that have ended keep their place")
	}
	if len(p.byPair) != 1 || len(p.byNumber) != 1 || len(p.asked) != 1 {
		t.Errorf("%d and %d of %d nodes are remembered, want the last alone", len(p.byPair), len(p.byNumber), len(p.asked))
	}
}

// Both ends may ask at once.
func TestAPairThatAsksOftenAtOnceHasOneSession(t *testing.T) {
	p := startPassing(t)
	a, b := key.NewDisco().Public(), key.NewDisco().Public()
	asks := [2]key.NodePublic{key.NewNode().Public(), key.NewNode().Public()}
	var got [20]*passage
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = p.open(a, b, asks[i%2], p.now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, session := range got {
		if session != got[0] {
			t.Fatal("it has several")
		}
	}
	if len(p.byPair) != 1 || len(p.byNumber) != 1 || len(p.asked) != 1 {
		t.Errorf("%d and %d of %d nodes are remembered, want one", len(p.byPair), len(p.byNumber), len(p.asked))
	}
}

func TestSessionsOfARelayAreBounded(t *testing.T) {
	p := startPassing(t)
	p.each, p.most = 10, 50
	a, b, _ := p.pair() // by somebody else
	given := 1
	for range 6 {
		given += p.room(key.NewNode().Public(), 10)
	}
	if given != 50 {
		t.Errorf("%d were given, want 50", given)
	}
	if _, err := p.open(a.own.Public(), b.own.Public(), key.NewNode().Public(), p.now); err != nil {
		t.Errorf("a pair is refused the session that it has: %v", err)
	}
}
