package main

import (
	"time"
)

// pace is how often a sender wakes up to send what is due by then: seldom enough to
// cost little, and often enough for what is due to fit into anybody's queue at the
// rates that it can bear.
const pace = 250 * time.Microsecond

// pauses is how many paces a sender that was held up makes good for. What is older
// than that is not sent: a steady rate is no heap after a pause.
const pauses = 80

// paced calls send with what is due at a steady rate, no more than most at once, until
// stop is closed or send fails. A rate of zero is as much as send takes.
func paced(rate float64, most int, stop <-chan struct{}, send func(n int) error) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	begin := time.Now()
	for gone := 0.0; ; {
		select {
		case <-stop:
			return nil
		default:
		}
		if rate == 0 {
			if err := send(most); err != nil {
				return err
			}
			continue
		}
		due := time.Since(begin).Seconds() * rate
		gone = max(gone, due-pauses*pace.Seconds()*rate-1)
		// What becomes due meanwhile has its own turn: a sender that never rests would
		// write packets one by one.
		for n := min(most, int(due-gone)); n > 0; n = min(most, int(due-gone)) {
			if err := send(n); err != nil {
				return err
			}
			gone += float64(n)
		}
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
	}
}
