package bench

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TestRelays measures derper and the two ways of our relay once a round, by clients
// that have no tunnel. BENCH_ROUNDS says how many rounds, BENCH_ONLY which of them
// alone, and BENCH_REPORT where the report is written.
func TestRelays(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS"))
	if err != nil {
		t.Skip("run by make bench-relays")
	}
	all := startRelays(t)
	got := results{}
	for round := range rounds {
		for _, r := range all {
			if only := os.Getenv("BENCH_ONLY"); only != "" && only != r.name {
				continue
			}
			t.Run(fmt.Sprintf("round %d/%s", round+1, r.name), func(t *testing.T) { got.add(r.name, r.measure(t)) })
		}
		fmt.Printf("\nround %d of %d\n%s\n", round+1, rounds, got.summary())
		if file := os.Getenv("BENCH_REPORT"); file != "" {
			if err := os.WriteFile(file, []byte(got.relayReport(round+1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
