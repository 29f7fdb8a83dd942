package loadtest

import (
	"slices"
	"sync"
	"time"
)

// Spread says how long things took, in milliseconds.
type Spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// clock collects how long things took. Its methods may be called concurrently.
type clock struct {
	mu    sync.Mutex
	times []time.Duration
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times = append(c.times, d)
}

func (c *clock) spread() Spread {
	c.mu.Lock()
	defer c.mu.Unlock()
	return spreadOf(c.times)
}

// spreadOf sorts times. A quantile is the least of them that so many are at
// most as long as.
func spreadOf(times []time.Duration) Spread {
	n := len(times)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(times)
	at := func(percent int) float64 { return milliseconds(times[(n*percent+99)/100-1]) }
	return Spread{Count: n, P50: at(50), P95: at(95), P99: at(99), Max: at(100)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tally counts what went wrong, by what it said. Its methods may be called
// concurrently.
type tally struct {
	mu   sync.Mutex
	said map[string]int
}

// maxKinds bounds how many different errors are told apart.
const maxKinds = 20

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said = make(map[string]int)
	}
	text := err.Error()
	if _, known := t.said[text]; !known && len(t.said) >= maxKinds {
		text = "other"
	}
	t.said[text]++
}

func (t *tally) counts() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := make(map[string]int, len(t.said))
	for text, n := range t.said {
		counts[text] = n
	}
	return counts
}
