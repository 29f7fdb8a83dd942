package path

import (
	"net/http/httptest"
	"testing"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"
)

func TestHomeIsTheNearestRegionThatMayBe(t *testing.T) {
	regions := []Region{{ID: 1, Code: "eu"}, {ID: 2, Code: "us"}, {ID: 3, Code: "asia"}}
	near := map[uint32]uint32{1: 10_000, 2: 80_000, 3: 200_000}
	for name, tt := range map[string]struct {
		wishes    string
		policy    string
		down      []uint32
		old       uint32
		latencies map[uint32]uint32
		want      uint32
	}{
		"the nearest":                         {latencies: near, want: 1},
		"the first, as long as none is":       {want: 1},
		"the present one, while none is":      {old: 2, want: 2},
		"not for a little less":               {old: 2, latencies: map[uint32]uint32{1: 60_000, 2: 80_000}, want: 2},
		"for a third less":                    {old: 2, latencies: map[uint32]uint32{1: 53_000, 2: 80_000}, want: 1},
		"pinned":                              {wishes: "asia", latencies: near, want: 3},
		"the nearest of those pinned":         {wishes: "asia, us", latencies: near, want: 2},
		"pinned after it was elsewhere":       {wishes: "asia", old: 1, latencies: near, want: 3},
		"excluded":                            {wishes: "-eu", latencies: near, want: 2},
		"excluded though it was there":        {wishes: "-eu", old: 1, latencies: near, want: 2},
		"pinned to what there is not":         {wishes: "mars", latencies: near, want: 1},
		"another when the pinned one is down": {wishes: "asia,-eu", down: []uint32{3}, old: 3, latencies: near, want: 2},
		"the next when one is down":           {down: []uint32{1}, old: 1, latencies: near, want: 2},
		"as it was when all are down":         {down: []uint32{1, 2, 3}, old: 2, latencies: map[uint32]uint32{2: 80_000}, want: 2},
		"nowhere when all are excluded":       {wishes: "-eu,-us,-asia", latencies: near, want: 0},
		"pinned by the policy":                {policy: "us", old: 1, latencies: near, want: 2},
		"excluded by the policy":              {policy: "-eu", wishes: "eu", latencies: near, want: 2},
		"pinned within what the policy pins":  {policy: "us,asia", wishes: "asia", latencies: near, want: 3},
		"not to what the policy does not pin": {policy: "us,asia", wishes: "eu", latencies: near, want: 2},
		"excluded of what the policy pins":    {policy: "us,asia", wishes: "-us", latencies: near, want: 3},
		"nowhere between the two":             {policy: "-eu,-us", wishes: "-asia", latencies: near, want: 0},
	} {
		h := homes{own: parseWishes(tt.wishes), policy: parseWishes(tt.policy), down: map[uint32]bool{}}
		for _, id := range tt.down {
			h.down[id] = true
		}
		if got := nearest(h.amongLocked(regions), tt.old, tt.latencies); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// A relay that ends tells its nodes so, by refusing them: they are elsewhere before the
// coordinator has a new map.
func TestHomeMovesWhenItsRelayEnds(t *testing.T) {
	server := derpserver.New(key.NewNode(), func(string, ...any) {})
	web := httptest.NewServer(derpserver.Handler(server))
	e := newEnd(t, "", 0)
	e.SetRelays([]Region{{ID: 900, Code: "a", Relays: []Relay{{URL: web.URL}}}, {ID: 901, Code: "b", Relays: []Relay{{URL: relayServer(t)}}}})
	home := func(want uint32) {
		t.Helper()
		timeout := time.After(patience)
		for {
			select {
			case s := <-e.self:
				if s.HomeRelay == want {
					return
				}
			case <-timeout:
				t.Fatalf("home is %d, want %d", e.home.Load(), want)
			}
		}
	}
	home(900)
	connected := func() bool {
		l := e.link(900)
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.current != nil
	}
	for deadline := time.Now().Add(patience); !connected(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the relay is not connected")
		}
	}
	web.CloseClientConnections()
	web.Close()
	server.Close()
	began := time.Now()
	home(901)
	t.Logf("home moved after %v", time.Since(began).Round(time.Millisecond))
}
