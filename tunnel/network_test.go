package tunnel

import "testing"

func TestANodeSaysWhyAHomeIsOne(t *testing.T) {
	for _, c := range []struct {
		want, pinned string
		relays       []Relay
	}{
		{"", "", nil},
		{"the only region", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "eu", RTTMs: 5}}},
		{"nearest", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us", RTTMs: 50}}},
		{"pinned by the policy", "pinned by the policy", []Relay{{Region: "eu", RTTMs: 50}, {Region: "us", RTTMs: 5}}},
		{"nearest when it was chosen, and none is nearer by a third or may be home", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us", RTTMs: 4}}},
		{"the only region that answers", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us"}}},
		{"no region's latency is known", "", []Relay{{Region: "eu"}, {Region: "us"}}},
	} {
		if got := whyHome("eu", c.relays, c.pinned); got != c.want {
			t.Errorf("%v, pinned %q: %q, want %q", c.relays, c.pinned, got, c.want)
		}
	}
}

func TestANodeSaysWhyNoRelayIsReached(t *testing.T) {
	const means = "peers without a direct path are out of reach; "
	for _, c := range []struct {
		want   string
		relays []Relay
	}{
		{"the coordinator names no relay: " + means + "see 'adit relays list'", nil},
		{"no relay can be reached in any region, of 1: " + means + "let TCP to one out of this network (no answer)", []Relay{{Region: "eu", Home: true}}},
		{"no relay can be reached in any region, of 2: " + means + "let TCP to one out of this network (refused)", []Relay{{Region: "us", Error: "reset"}, {Region: "eu", Home: true, Error: "refused"}}},
	} {
		if got := noRelay(c.relays); got != c.want {
			t.Errorf("%v: %q, want %q", c.relays, got, c.want)
		}
	}
}
