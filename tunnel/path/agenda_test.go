package path

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is added and removed, peers are due in the order of their earliest
// dates, and none is forgotten.
func TestAgendaKeepsTheEarliestDates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, now := newAgenda(), time.Unix(1000, 0)
		peers := make([]*Peer, 6)
		for i := range peers {
			peers[i] = new(Peer)
			a.enter(peers[i])
		}
		want := map[*Peer]time.Time{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				p := rapid.SampledFrom(peers).Draw(t, "peer")
				at := now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "s")) * time.Second)
				if old, ok := want[p]; p.date.peer != nil && (!ok || at.Before(old)) {
					want[p] = at
				}
				a.add(p, at)
			},
			"remove": func(t *rapid.T) {
				p := rapid.SampledFrom(peers).Draw(t, "peer")
				a.remove(p)
				delete(want, p)
			},
			"take": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "s")) * time.Second)
				var last time.Time
				for {
					p, next := a.take(now)
					if p == nil {
						for _, at := range want {
							if at.Before(next) || next.IsZero() || !at.After(now) {
								t.Fatalf("next is %v, a peer is due at %v", next, at)
							}
						}
						return
					}
					at, ok := want[p]
					if !ok || at.After(now) || at.Before(last) {
						t.Fatalf("peer %d taken at %v, due %v (%v), the one before %v", slices.Index(peers, p), now, at, ok, last)
					}
					last = at
					delete(want, p)
				}
			},
		})
	})
}

func TestAgendaTellsOfAnEarlierDate(t *testing.T) {
	a, p, q := newAgenda(), new(Peer), new(Peer)
	a.enter(p)
	a.enter(q)
	now := time.Unix(1000, 0)
	a.add(p, now.Add(time.Minute))
	<-a.news
	a.add(q, now.Add(time.Hour))
	if len(a.news) > 0 {
		t.Error("woken for a later date")
	}
	a.add(q, now)
	if len(a.news) == 0 {
		t.Error("not woken for an earlier date")
	}
}

func TestAgendaAllocatesNothing(t *testing.T) {
	a, p := newAgenda(), new(Peer)
	a.enter(p)
	now := time.Unix(1000, 0)
	if n := testing.AllocsPerRun(1000, func() { a.add(p, now); a.take(now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
