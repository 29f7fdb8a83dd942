package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// ticksPerSecond is the unit of /proc's times, the same on every Linux.
const ticksPerSecond = 100

// cpuSeconds is what the tunnel's processes at both ends have used.
func (p *pair) cpuSeconds(t testing.TB) float64 {
	t.Helper()
	var ticks int
	for _, e := range p.ends {
		for _, pid := range e.pids {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				t.Fatal(err)
			}
			// After the name, in brackets: user and system time are 12th and 13th.
			fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
			for _, f := range fields[11:13] {
				n, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				ticks += n
			}
		}
	}
	return float64(ticks) / ticksPerSecond
}

// resident is a field of /proc/PID/status in MB, of the end that has more.
func (p *pair) resident(t testing.TB, field string) float64 {
	t.Helper()
	var most float64
	for _, e := range p.ends {
		var sum float64
		for _, pid := range e.pids {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				t.Fatal(err)
			}
			_, after, ok := strings.Cut(string(raw), field+":")
			if !ok {
				t.Fatalf("process %d has no %s", pid, field)
			}
			kib, err := strconv.Atoi(strings.Fields(after)[0])
			if err != nil {
				t.Fatal(err)
			}
			sum += float64(kib) * 1024 / 1e6
		}
		most = max(most, sum)
	}
	return most
}
