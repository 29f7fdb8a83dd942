package bench

import (
	"math"
	"slices"
	"testing"
)

// A round in which the machine was busy with something else slows both.
func TestRatiosAreTakenRoundByRound(t *testing.T) {
	r := results{}
	for _, speed := range []float64{1, 4, 2} {
		r.add("wireguard-go", sample{tcp1: speed})
		r.add("adit-tun", sample{tcp1: 1.5 * speed})
	}
	want := []string{string(tcp1), "adit-tun", "3.00", "2.00, wireguard-go", "1.50 ×", "≥ 1.00 × wireguard-go", "met"}
	if rows := r.bars(); len(rows) != 2 || !slices.Equal(rows[1], want) {
		t.Errorf("%q, want %q", rows, want)
	}
}

func TestWhatNeverHappensIsNoFigure(t *testing.T) {
	r := results{"tailscaled": {{directHard: math.Inf(1)}}, "adit-netstack": {{directHard: 400}, {directHard: 200}}}
	want := []string{string(directHard) + ", p50", "adit-netstack", "300", "never, tailscaled", "–", "≤ 3000", "met"}
	if rows := r.bars(); len(rows) != 2 || !slices.Equal(rows[1], want) {
		t.Errorf("%q, want %q", rows, want)
	}
}
