package bench

import (
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
)

const (
	// rateMin and rateMax bound the search, in datagrams a second, and rateStep
	// is how much two neighbouring rates differ.
	rateMin, rateMax, rateStep = 2000, 400_000, 1.15

	// rateLasts is how long each rate is tried.
	rateLasts = time.Second

	// drain is how long datagrams may be under way after the last was sent.
	drain = 200 * time.Millisecond

	// lossAllowed is what counts as none: a scheduler's hiccup is no limit.
	lossAllowed = 0.001
)

// lossless returns the highest rate at which the pair loses nothing, in
// datagrams a second.
func lossless(t testing.TB, p *pair) float64 {
	t.Helper()
	var rates []float64
	for r := float64(rateMin); r <= rateMax; r *= rateStep {
		rates = append(rates, r)
	}
	best := 0.0
	for low, high := 0, len(rates)-1; low <= high; {
		mid := (low + high) / 2
		if rate, ok := sustains(t, p, rates[mid]); ok {
			best, low = max(best, rate), mid+1
		} else {
			high = mid - 1
		}
	}
	return best
}

// sustains sends at a rate and returns at which rate datagrams arrived, and
// whether all did, the sender kept up, and the path is still the same: one that
// is flooded loses what would keep it up, too.
func sustains(t testing.TB, p *pair, rate float64) (float64, bool) {
	t.Helper()
	settle(t, p.want+" again", p.onPath)
	p.trials++
	session := p.trials % role.Sessions
	sent := p.ends[0].traffic.ask(role.Request{Do: "send", To: p.addr, Rate: int(rate), Session: session, Lasts: rateLasts})
	<-time.After(drain)
	got := p.ends[1].traffic.ask(role.Request{Do: "received", Session: session})
	kept := float64(sent.Packets)/sent.Seconds >= 0.95*rate
	return float64(got.Packets) / sent.Seconds, kept && p.onPath() && float64(sent.Packets-got.Packets) <= lossAllowed*float64(sent.Packets)
}
