package path

import (
	"net/http/httptest"
	"testing"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// killable is a real DERP server that may die.
func killable(t *testing.T) (url string, kill func()) {
	t.Helper()
	s := derpserver.New(key.NewNode(), logger.Discard)
	web := httptest.NewServer(derpserver.Handler(s))
	kill = func() {
		s.Close()
		web.CloseClientConnections()
		web.Close()
	}
	t.Cleanup(kill)
	return web.URL, kill
}

// A region is there for as long as one of its relays is.
func TestOfARegionsRelaysTheNextTakesOver(t *testing.T) {
	b, err := New(Config{Options: Options{RelayOnly: true}, PrivateKey: [32]byte{1: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	if _, _, err := b.Open(0); err != nil {
		t.Fatal(err)
	}
	at, kill := make([]string, 3), make(map[string]func())
	region := Region{ID: 900, Code: "eu"}
	for i := range at {
		var end func()
		at[i], end = killable(t)
		kill[at[i]] = end
		region.Relays = append(region.Relays, Relay{Name: at[i], URL: at[i]})
	}
	b.SetRelays([]Region{region})
	connected := func(not string) string {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			b.mu.RLock()
			l := b.links[900]
			b.mu.RUnlock()
			l.mu.Lock()
			is := l.current != nil
			l.mu.Unlock()
			if is {
				if c := b.RelayConnection(900); c.Err == nil && c.URL != not {
					return c.URL
				}
			}
		}
		t.Fatalf("no connection: %+v", b.RelayConnection(900))
		return ""
	}
	first := connected("")
	if want := b.inTurn(region)[0].url; first != want {
		t.Errorf("the first in turn is %s, and %s is connected", want, first)
	}
	died := time.Now()
	kill[first]()
	second := connected(first)
	t.Logf("another relay after %v", time.Since(died).Round(time.Millisecond))

	// One that leaves the map is left.
	var rest []Relay
	for _, r := range region.Relays {
		if r.URL != second && r.URL != first {
			rest = append(rest, r)
		}
	}
	b.SetRelays([]Region{{ID: 900, Code: "eu", Relays: rest}})
	if third := connected(second); third != rest[0].URL {
		t.Errorf("%s is connected", third)
	}
}

// Nodes share the relays of a region, and each keeps its own when others come.
func TestNodesShareARegionsRelays(t *testing.T) {
	region := Region{ID: 900}
	for _, name := range []string{"a", "b", "c"} {
		region.Relays = append(region.Relays, Relay{URL: "https://" + name + ".example.com"})
	}
	count, moved := make(map[string]int), 0
	for range 300 {
		b := &Bind{pub: key.NewNode().Public()}
		first := b.inTurn(region)[0].url
		count[first]++
		more := region
		more.Relays = append(more.Relays[:3:3], Relay{URL: "https://d.example.com"})
		if now := b.inTurn(more)[0].url; now != first {
			moved++
			if now != "https://d.example.com" {
				t.Errorf("a new relay has a node move from %s to %s", first, now)
			}
		}
	}
	for u, n := range count {
		if n < 60 {
			t.Errorf("%s has %d of 300 nodes", u, n)
		}
	}
	if len(count) != 3 || moved < 30 || moved > 130 {
		t.Errorf("%d relays are used, and %d of 300 nodes move to a fourth", len(count), moved)
	}
}
