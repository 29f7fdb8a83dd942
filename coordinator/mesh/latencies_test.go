package mesh

import (
	"testing"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestRegionsAreAsFarAsTheNodesThatAreHereMeasure(t *testing.T) {
	c := newCore()
	for i, m := range []member{agentA, clientC, clientD} {
		s := sessionID(i + 1)
		c.join(s, m)
		self := &meshv1.Self{HomeRelay: 900, RelayLatencies: map[uint32]uint32{900: uint32(1000 * (i + 1)), 901: 50_000}}
		if _, err := c.setSelf(s, self); err != nil {
			t.Fatal(err)
		}
	}
	got := c.regionLatencies()
	if want := (RegionLatency{Nodes: 3, Home: 3, Median: 2 * time.Millisecond}); got[900] != want {
		t.Errorf("home is %+v, want %+v", got[900], want)
	}
	if want := (RegionLatency{Nodes: 3, Median: 50 * time.Millisecond}); got[901] != want {
		t.Errorf("the other is %+v, want %+v", got[901], want)
	}
	c.leave(2, true, time.Now())
	c.leave(3, false, time.Now())
	if want := (RegionLatency{Nodes: 1, Home: 1, Median: time.Millisecond}); c.regionLatencies()[900] != want {
		t.Errorf("of the one that is left it is %+v, want %+v", c.regionLatencies()[900], want)
	}
}
