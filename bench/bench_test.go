package bench

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TestCompare measures every subject once a round. BENCH_ROUNDS says how many
// rounds, BENCH_ONLY which subjects, by name, and BENCH_REPORT where the report
// on all of them is written.
func TestCompare(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS"))
	if err != nil {
		t.Skip("run by make bench")
	}
	only := list(os.Getenv("BENCH_ONLY"))
	l := newLab(t)
	l.startTailnet(t)
	got := results{}
	for round := range rounds {
		for _, s := range subjects() {
			if !only(s.name) {
				continue
			}
			t.Run(fmt.Sprintf("round %d/%s", round+1, s.name), func(t *testing.T) {
				got.add(s.name, measure(t, s.start(t, l)))
			})
			if s.meet != nil {
				t.Run(fmt.Sprintf("round %d/%s meets", round+1, s.name), func(t *testing.T) {
					for _, m := range meetAll(t, l, s.meet) {
						got.add(s.name, m)
					}
				})
			}
		}
		fmt.Printf("\nround %d of %d\n%s\n", round+1, rounds, got.summary())
		// After each, so that a run that is cut short has its say.
		if file := os.Getenv("BENCH_REPORT"); file != "" && os.Getenv("BENCH_ONLY") == "" {
			if err := os.WriteFile(file, []byte(got.report(round+1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
