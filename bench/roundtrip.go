package bench

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/aditmesh/adit/bench/role"
)

const (
	// idlePings is how many echoes are sent over an idle link, and idleInterval
	// how far apart: p99 wants a few, and none may warm the cache for the next.
	idlePings    = 300
	idleInterval = 10 * time.Millisecond

	// loadedAfter is when a stream has filled its buffers, and loadedPings as
	// many echoes as fit before it ends.
	loadedAfter    = time.Second
	loadedInterval = 20 * time.Millisecond
	loadedPings    = 100
)

// roundTrips measures round trips one by one, in seconds: ICMP's over
// interfaces, UDP's in a stack in a process.
func roundTrips(t testing.TB, p *pair, count int, interval time.Duration) []float64 {
	t.Helper()
	if p.ends[0].kernel {
		return pings(t, p, count, interval)
	}
	var all []float64
	for _, d := range p.ends[0].traffic.ask(role.Request{Do: "echo", To: p.addr, Count: count, Interval: interval}).RTTs {
		all = append(all, d.Seconds())
	}
	if len(all) < count*9/10 {
		t.Errorf("%d of %d echoes came back", len(all), count)
	}
	return all
}

// roundTripsUnderLoad measures while a stream runs that begins now. A child does
// one thing at a time, so this is for interfaces only.
func roundTripsUnderLoad(t testing.TB, p *pair) []float64 {
	if !p.ends[0].kernel {
		return nil
	}
	<-time.After(loadedAfter)
	return pings(t, p, loadedPings, loadedInterval)
}

var pingTime = regexp.MustCompile(`time=([0-9.]+) ms`)

func pings(t testing.TB, p *pair, count int, interval time.Duration) []float64 {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := p.ends[0].host.Output(ctx, "ping", "-n", "-c", strconv.Itoa(count), "-i", fmt.Sprint(interval.Seconds()), "-W", "1", p.addr)
	if err != nil {
		t.Errorf("ping: %v", err)
		return nil
	}
	var all []float64
	for _, m := range pingTime.FindAllStringSubmatch(out, -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Errorf("ping: %v", err)
		}
		all = append(all, ms/1e3)
	}
	return all
}
