package tunnel

import "testing"

func TestANodeSaysWhyAHomeIsOne(t *testing.T) {
	for _, c := range []struct {
		want, wished string
		relays       []Relay
	}{
		{"", "", nil},
		{"the only region", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "eu", RTTMs: 5}}},
		{"nearest", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us", RTTMs: 50}}},
		{"nearest", "-us", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us", RTTMs: 50}}},
		{"pinned", "eu, us", []Relay{{Region: "eu", RTTMs: 50}, {Region: "us", RTTMs: 5}}},
		{"nearest when it was chosen, and none is nearer by a third or may be home", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us", RTTMs: 4}}},
		{"the only region that answers", "", []Relay{{Region: "eu", RTTMs: 5}, {Region: "us"}}},
		{"no region's latency is known", "", []Relay{{Region: "eu"}, {Region: "us"}}},
	} {
		if got := whyHome("eu", c.relays, c.wished); got != c.want {
			t.Errorf("%v, wished %q: %q, want %q", c.relays, c.wished, got, c.want)
		}
	}
}
