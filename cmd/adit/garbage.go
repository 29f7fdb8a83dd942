package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// maxGarbage is how much may lie about before it is collected. Go's own rule
	// is as much as lives: right for a small heap, but with ten thousand nodes on
	// their streams hundreds of megabytes for nothing.
	maxGarbage = 20 << 20

	// The bounds of what boundGarbage asks for, in percent of what lives. At less
	// than the least the collector would do little else.
	minGCPercent, maxGCPercent = 5, 100

	// lookForGarbage is how often what lives is looked at.
	lookForGarbage = time.Second
)

// boundGarbage keeps garbage under maxGarbage, as far as that is wise, until
// ctx is done. Of a node that is silent 10 KB of objects live, and 20 KB of stacks
// of gRPC's goroutines, of which Go's rule lets as much again lie about. The
// price is collecting more often while many nodes come back.
func boundGarbage(ctx context.Context) {
	sizes := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	tick := time.NewTicker(lookForGarbage)
	defer tick.Stop()
	for last := 0; ; {
		metrics.Read(sizes)
		if p := gcPercent(sizes[0].Value.Uint64() + sizes[1].Value.Uint64()); p != last {
			debug.SetGCPercent(p)
			last = p
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gcPercent returns how much garbage there may be in percent of what lives.
func gcPercent(live uint64) int {
	return int(min(max(maxGarbage*100/max(live, 1), minGCPercent), maxGCPercent))
}
