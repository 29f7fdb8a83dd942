package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// keepTo has a process run on some of the machine's cores: its threads, and those that
// they start.
func keepTo(t testing.TB, pid int, cores ...int) {
	t.Helper()
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	kept := make(map[string]bool)
	for again := true; again; { // until none was started by one that was not kept yet
		again = false
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			if kept[thread.Name()] {
				continue
			}
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH {
				t.Fatal(err)
			}
			kept[thread.Name()], again = true, true
		}
	}
}

// cores are some of the machine's: from one, and up to another.
func cores(from, to int) (all []int) {
	for c := from; c < to; c++ {
		all = append(all, c)
	}
	return all
}
