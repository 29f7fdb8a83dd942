// Package beat has what processes do now and then happen at the same moments.
//
// A process that rests is woken for each of the things that it looks at every few seconds,
// and to wake costs more than to look. Those who wait for the next moment of the clock, and
// not for so long as from now, are woken together, also with other processes.
package beat

import "time"

// Next returns how long it is until the clock next shows a multiple of every. One that is
// near counts as past: a clock that is being set right may show it a little later than it came.
func Next(every time.Duration) time.Duration {
	now := time.Now()
	left := now.Truncate(every).Add(every).Sub(now)
	if left < every/8 {
		left += every
	}
	return left
}

// Timer ends at each multiple of every, and goes on once it was told to. The zero Timer is of
// no use.
type Timer struct {
	*time.Timer
	every time.Duration
}

// NewTimer returns a Timer that ends at the next multiple of every.
func NewTimer(every time.Duration) Timer {
	return Timer{time.NewTimer(Next(every)), every}
}

// Again has a timer that has ended end at the next multiple.
func (t Timer) Again() { t.Reset(Next(t.every)) }
