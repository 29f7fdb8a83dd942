//go:build race

package path

// raceEnabled: the race detector makes sync.Pool forget on purpose, so
// allocations cannot be counted.
const raceEnabled = true
