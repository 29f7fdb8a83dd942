package path

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever comes is opened, some of it at once and some of it after as long as the
// device may take; and traffic comes in bursts. None of that is garbled.
func TestBurstsAreNotTakenForGarbled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const step = garbledOver / 6
		var i integrity
		now := time.Unix(1_000_000, 0)
		var came uint32
		var history []uint32 // what had come, by step
		opened := func() uint32 {
			behind := rapid.IntRange(0, 5).Draw(t, "steps behind")
			return history[max(0, len(history)-1-behind)]
		}
		var atLeast uint32
		for range 60 {
			if rapid.Bool().Draw(t, "burst") {
				came += uint32(rapid.IntRange(0, 10_000).Draw(t, "packets"))
			}
			history = append(history, came)
			atLeast = max(atLeast, opened()) // what is opened stays so
			if garbled, _ := i.judge(now, came, atLeast); garbled {
				t.Fatalf("garbled, with %d of %d opened", atLeast, came)
			}
			now = now.Add(step)
		}
	})
}

// Of what comes, nothing more is opened from some time on.
func TestGarbledIsNoticedWithinASecond(t *testing.T) {
	var i integrity
	now := time.Unix(1_000_000, 0)
	var came, opened uint32
	broken := now.Add(2 * time.Second)
	for ; now.Before(broken.Add(time.Second)); now = now.Add(tickEvery) {
		came += 100
		if now.Before(broken) {
			opened = came
		}
		if garbled, _ := i.judge(now, came, opened); garbled {
			if now.Before(broken) {
				t.Fatal("noticed before it was so")
			}
			return
		}
	}
	t.Error("not noticed")
}

// TCP backs off to a packet alone and then two, of which the second is garbled: of
// four in each time-out, three open. It would go on like that for ever.
func TestWhatGarblesATrickleIsNoticed(t *testing.T) {
	var i integrity
	start := time.Unix(1_000_000, 0)
	for n := range 3 * time.Second / tickEvery {
		now := start.Add(n * tickEvery)
		rounds := uint32(now.Sub(start) / (200 * time.Millisecond))
		if garbled, _ := i.judge(now, 4*rounds, 3*rounds); garbled {
			return
		}
	}
	t.Error("not noticed within 3 s")
}
