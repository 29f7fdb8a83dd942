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
func (p *pair) cpuSeconds(t testing.TB) (sum float64) {
	t.Helper()
	for _, e := range p.ends {
		for _, pid := range e.pids {
			sum += cpuOf(t, pid)
		}
	}
	return sum
}

// cpuOf is what a process has used, in seconds.
func cpuOf(t testing.TB, pid int) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// After the name, in brackets: user and system time are 12th and 13th.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
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
			sum += residentOf(t, pid, field)
		}
		most = max(most, sum)
	}
	return most
}

// residentOf is a field of /proc/PID/status in MB.
func residentOf(t testing.TB, pid int, field string) float64 {
	t.Helper()
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
	return float64(kib) * 1024 / 1e6
}
