package netstack

import "time"

// A sender that doubles what it has under way until something is lost loses half
// of what a long way holds at once, its repetitions too, and is then silent until
// a timer ends: gVisor's TCP needs seconds to come back from that. What a
// connection may have under way is therefore bounded by what the way was seen to
// carry, as in BBR: its rate, times the round trip of the empty way and a little
// more. TCP's own congestion control goes on below that bound, which it sees as
// the window that the other end announces.

const (
	// The bound is what the way delivers in flightTrips/4 round trips and in
	// flightSlack. That is a queue of a quarter of a round trip, which keeps the
	// way busy, and of what processes on a busy machine need to get their turn.
	// While the rate is not found yet, it grows by as much each round trip.
	flightTrips = 5
	flightSlack = 10 * time.Millisecond

	// flightLeast is the least bound in bytes: what TCP sends before it has
	// heard anything, several times.
	flightLeast = 64 << 10

	// flightGrows is by how many bytes a round trip without loss raises the bound
	// beyond what it delivered, so that a connection keeps its share of a way on
	// which others fill the queue.
	flightGrows = 4 << 10

	// rateRounds is after how many round trips a measured rate counts no more, or
	// at the most twice as many.
	rateRounds = 8

	// tripEvery is how often the round trip is measured anew, with the queue of
	// one's own drained: the way may be another.
	tripEvery = 10 * time.Second
)

// flight is what one connection has under way. Times are since any epoch, and
// sequence numbers are TCP's.
type flight struct {
	una, max uint32 // acknowledged, and sent
	begun    bool   // they are known

	gaps bool // the last acknowledgement told of gaps
	// far is the highest byte that arrived, and mending lasts until what had been
	// sent when the first byte went again is acknowledged.
	far, mended uint32
	mending     bool
	// stuck says that the first byte that is not acknowledged went again.
	stuck bool

	round round

	trip      time.Duration // of the empty way; 0 is not known
	tripAt    time.Duration // when that was measured
	draining  bool
	rates     [2]float64 // bytes a second: of the present rounds, and those before
	rateCount int
	base      int // bytes that the last rounds delivered, and a little more

	limit int // bytes; 0 is none
}

// round lasts from when something is sent until it is acknowledged: a round trip.
type round struct {
	open     bool
	end, una uint32 // of what was sent when it began
	began    time.Duration
	full     bool // as much was under way as might be
	lost     bool // something was sent again
	gaps     bool // acknowledgements tell of gaps, so that they jump
}

// before reports whether a comes before b in a stream.
func before(a, b uint32) bool { return int32(a-b) < 0 }

// sent notes a segment that occupies the stream from seq to end.
func (f *flight) sent(now time.Duration, seq, end uint32) {
	if !f.begun {
		f.una, f.max, f.far, f.begun = seq, seq, seq, true
	}
	again := before(seq, f.max)
	if again && !f.mending {
		f.mending, f.mended = true, f.max
	}
	f.stuck = f.stuck || again && seq == f.una
	if before(f.max, end) {
		f.max = end
	}
	underWay := int(f.max - f.una)
	switch {
	case f.round.open:
		f.round.lost = f.round.lost || again
	case !f.draining || underWay <= f.limit:
		f.round = round{
			open: true, end: f.max, una: f.una, began: now,
			full: underWay >= f.limit/2, lost: again, gaps: f.gaps,
		}
	}
}

// acked notes an acknowledgement, and the highest byte that it says arrived; gaps
// says that there are any below that. It reports whether the connection was stuck.
func (f *flight) acked(now time.Duration, ack, far uint32, gaps bool) (wasStuck bool) {
	f.gaps = gaps
	r := &f.round
	r.gaps = r.gaps || gaps
	if before(f.far, far) && !before(f.max, far) {
		f.far = far
	}
	if !f.begun || !before(f.una, ack) || before(f.max, ack) {
		return false
	}
	wasStuck, f.stuck = f.stuck, false
	if f.mending = f.mending && before(ack, f.mended); !f.mending {
		f.far = ack
	}
	f.una = ack
	if r.open && !before(ack, r.end) {
		r.open = false
		f.ended(now, max(now-r.began, 1), int(ack-r.una))
	}
	return wasStuck
}

// ended takes what a round has measured.
func (f *flight) ended(now, took time.Duration, delivered int) {
	r := &f.round
	if f.draining || f.trip == 0 || took < f.trip {
		f.trip, f.tripAt, f.draining = took, now, false
	}
	if !r.gaps {
		f.rates[0] = max(f.rates[0], float64(delivered)/took.Seconds())
	}
	if r.full {
		if f.rateCount++; f.rateCount == rateRounds {
			f.rates, f.rateCount = [2]float64{0, f.rates[0]}, 0
		}
	}
	switch {
	case r.lost:
		f.base = f.base * 7 / 10 // as CUBIC does
	case !r.gaps:
		f.base = delivered + flightGrows
	}
	rate := max(f.rates[0], f.rates[1])
	if rate == 0 {
		return
	}
	if f.draining = r.full && took > flightSlack && now-f.tripAt >= tripEvery; f.draining {
		f.limit = max(int(rate*f.trip.Seconds()/2), flightLeast)
		return
	}
	holds := rate * (f.trip*flightTrips/4 + flightSlack).Seconds()
	f.limit = max(int(holds), f.base, flightLeast)
}

// window returns what TCP is told of a window of so many bytes. It changes only
// with what is acknowledged, since TCP takes other acknowledgements for a sign of
// loss only as long as the window stays; while something is sent again, it moves
// with what arrives beyond the gaps, or the way would run empty.
func (f *flight) window(bytes int) int {
	if f.limit == 0 {
		return bytes
	}
	most := f.limit
	if f.mending {
		most += int(f.far - f.una)
	}
	return min(bytes, most)
}
