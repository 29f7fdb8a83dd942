package netstack

import (
	"testing"
	"time"
)

// simulated is a connection over a way of a rate, a round trip and a queue without
// end, whose sender has as much under way as it is allowed to.
type simulated struct {
	flight
	now  time.Duration
	next uint32
	free time.Duration // when the way is
	acks []simulatedAck
	rate float64 // bytes a second
	trip time.Duration
}

type simulatedAck struct {
	at  time.Duration
	ack uint32
}

// run lets the connection go on for some time.
func (s *simulated) run(lasts time.Duration) {
	const segment = 1200
	until := s.now + lasts
	for {
		for int(s.next-s.una)+segment <= s.window(1<<30) && (s.limit > 0 || s.next-s.una < 10*segment) {
			s.sent(s.now, s.next, s.next+segment)
			s.next += segment
			s.free = max(s.free, s.now) + time.Duration(segment/s.rate*float64(time.Second))
			s.acks = append(s.acks, simulatedAck{s.free + s.trip, s.next})
		}
		if s.acks[0].at > until {
			s.now = until
			return
		}
		a := s.acks[0]
		s.acks = s.acks[1:]
		s.now = a.at
		s.acked(s.now, a.ack, a.ack, false)
	}
}

func (s *simulated) queued() time.Duration { return max(0, s.free-s.now) }

func TestTheBoundIsWhatTheWayHolds(t *testing.T) {
	for _, way := range []simulated{
		{rate: 25e6, trip: 60 * time.Millisecond},
		{rate: 125e6, trip: 20 * time.Millisecond},
		{rate: 1e6, trip: 200 * time.Millisecond},
		{rate: 300e6, trip: time.Millisecond},
	} {
		s := way
		s.run(20 * s.trip)
		began := s.una
		s.run(5 * time.Second)
		if got := float64(s.una-began) / 5; got < 0.97*s.rate {
			t.Errorf("%.0f bytes a second at %v: %.0f arrive", s.rate, s.trip, got)
		}
		// What grows beyond the bound does so by flightGrows each round trip.
		grown := time.Duration(float64(5*time.Second/s.trip*flightGrows) / s.rate * float64(time.Second))
		if most := s.trip + 2*flightSlack + grown; s.queued() > most {
			t.Errorf("%.0f bytes a second at %v: packets wait %v, want at most %v", s.rate, s.trip, s.queued(), most)
		}
	}
}

func TestTheBoundFollowsTheWay(t *testing.T) {
	s := simulated{rate: 125e6, trip: 2 * time.Millisecond}
	s.run(2 * time.Second)
	s.trip, s.rate = 80*time.Millisecond, 25e6 // another network
	s.run(2 * tripEvery)
	began := s.una
	s.run(5 * time.Second)
	if got := float64(s.una-began) / 5; got < 0.95*s.rate {
		t.Errorf("%.0f of %.0f bytes a second on the new way", got, s.rate)
	}
	s.trip = 10 * time.Millisecond
	s.run(2 * tripEvery)
	if most := 60 * time.Millisecond; s.queued() > most {
		t.Errorf("packets wait %v on a shorter way, want at most %v", s.queued(), most)
	}
}

// TCP takes an acknowledgement for one of a gap only while the window stays.
func TestTheWindowStaysWhileNothingIsAcknowledged(t *testing.T) {
	s := simulated{rate: 25e6, trip: 60 * time.Millisecond}
	s.run(2 * time.Second)
	want := s.window(1 << 30)
	for far := s.una + 1200; before(far, s.max); far += 1200 {
		s.acked(s.now, s.una, far, true)
		if got := s.window(1 << 30); got != want {
			t.Fatalf("a window of %d became %d", want, got)
		}
	}
	// Once the gap is being closed it moves on with what arrives.
	s.sent(s.now, s.una, s.una+1200)
	if got := s.window(1 << 30); got <= want {
		t.Errorf("%d while a gap is being closed, %d before: the way runs empty", got, want)
	}
}

func TestLossLowersWhatGrewBeyondTheBound(t *testing.T) {
	var f flight
	f.sent(0, 0, 1000)
	f.base = 1 << 20
	f.sent(1, 0, 1000) // again
	f.acked(time.Second, 1000, 1000, false)
	if f.base >= 1<<20 {
		t.Errorf("%d after a loss", f.base)
	}
}

func TestOnlyWhatWasStuckGoesOn(t *testing.T) {
	var f flight
	f.sent(0, 0, 1000)
	f.sent(0, 1000, 2000)
	if f.acked(1, 1000, 1000, false) {
		t.Error("nothing was sent again")
	}
	f.sent(2, 2000, 3000)
	f.sent(3, 2000, 3000) // again, but not what is first
	f.sent(4, 1000, 2000)
	f.sent(5, 1000, 2000)
	if f.acked(6, 1000, 3000, true) {
		t.Error("nothing new is acknowledged")
	}
	if !f.acked(7, 3000, 3000, false) {
		t.Error("the first byte was sent again, and is acknowledged")
	}
	f.sent(8, 3000, 4000)
	if f.acked(9, 4000, 4000, false) {
		t.Error("it is stuck no more")
	}
}

// Windows are told in units of the scale that the connection began with.
func TestArrivingWindowsAreNarrowed(t *testing.T) {
	f := newFlights()
	k := f.add(0, flightKey{far: left.As16(), farPort: 1000, localPort: 22})
	k.scale, k.limit = 4, 100_000
	p := segment([]byte("x"), 1, flagACK)
	p[ipv6Len+windowAt], p[ipv6Len+windowAt+1] = 0xff, 0xff
	f.arriving(p)
	if got := int(p[ipv6Len+windowAt])<<8 | int(p[ipv6Len+windowAt+1]); got<<4 > 100_000 || got<<4 < 99_900 {
		t.Errorf("a window of %d", got<<4)
	}
	p = segment([]byte("x"), 1, flagACK)
	want := [2]byte(p[ipv6Len+windowAt:])
	f.arriving(p)
	if got := [2]byte(p[ipv6Len+windowAt:]); got != want {
		t.Errorf("a window below the bound became %x", got)
	}
}

func TestCountingWhatIsUnderWayAllocatesNothing(t *testing.T) {
	f := newFlights()
	f.add(0, flightKey{far: right.As16(), farPort: 22, localPort: 1000})
	f.add(0, flightKey{far: left.As16(), farPort: 1000, localPort: 22})
	out, in := superSegment(randomBytes(5000), 1, flagACK, testMSS), segment([]byte("x"), 1, flagACK)
	out.TransportProtocolNumber = 6
	defer out.DecRef()
	if n := testing.AllocsPerRun(1000, func() { f.leaving(out); f.arriving(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConnectionsThatAreOverAreForgotten(t *testing.T) {
	f := newFlights()
	for i := range 3 * flightsMost {
		f.add(time.Duration(i)*time.Second, flightKey{farPort: uint16(i)})
	}
	if most := flightsMost + int(flightIdle/time.Second) + 1; len(f.known) > most {
		t.Errorf("%d connections known, want at most %d", len(f.known), most)
	}
}

func FuzzArriving(f *testing.F) {
	f.Add(segment([]byte("x"), 1, flagACK))
	f.Add(segment(nil, 1, flagSYN))
	f.Fuzz(func(t *testing.T, p []byte) {
		known := newFlights()
		known.arriving(p) // it must not fail, and what it does not narrow it leaves alone
	})
}
