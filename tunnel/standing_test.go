package tunnel

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// segment is a packet of TCP, full or not, from ends that understand marks or not.
func segment(size int, ecn byte) []byte {
	p := make([]byte, size)
	p[0], p[1], p[6] = 6<<4, ecn<<4, nextTCP
	return p
}

// shedding lets packets pass for a while, one a millisecond, and tells after how
// many milliseconds each that went did so.
func shedding(s *standing, lasts int, rtt time.Duration) (at []int) {
	for ms := range lasts {
		s.look()
		if s.sheds(segment(1400, 0), rtt) {
			at = append(at, ms)
		}
		time.Sleep(time.Millisecond)
	}
	return at
}

func TestAQueueThatStandsLosesSegmentsEverSooner(t *testing.T) {
	for name, c := range map[string]struct {
		rtt   time.Duration
		first int // ms
	}{
		"nearby":     {time.Millisecond, 20},
		"far":        {60 * time.Millisecond, 120},
		"by a relay": {0, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				empty := true
				s := &standing{waits: func() bool { return !empty }, epoch: time.Now()}
				s.look()
				empty = false
				at := shedding(s, 10*c.first, c.rtt)
				if len(at) < 4 || at[0] != c.first || at[1] != 2*c.first {
					t.Fatalf("gone after %v ms, want the first after %d", at, c.first)
				}
				for i := 2; i < len(at); i++ {
					if was, is := at[i-1]-at[i-2], at[i]-at[i-1]; is > was {
						t.Errorf("the pauses grow: %v", at)
					}
				}
				empty = true
				s.look()
				empty = false
				if at := shedding(s, c.first, c.rtt); len(at) > 0 {
					t.Errorf("it was empty, and yet something went after %v ms", at)
				}
			})
		})
	}
}

func TestAQueueThatEmptiesLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := &standing{waits: func() bool { n++; return n%9 != 0 }, epoch: time.Now()}
		if at := shedding(s, 1000, time.Millisecond); len(at) > 0 {
			t.Errorf("gone after %v ms", at)
		}
	})
}

func TestOnlyFullSegmentsOfTCPGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &standing{waits: func() bool { return true }, epoch: time.Now()}
		if at := shedding(s, int(standsFor/time.Millisecond), time.Millisecond); len(at) > 0 {
			t.Fatalf("gone after %v ms", at)
		}
		udp := segment(1400, 0)
		udp[6] = 17
		for name, p := range map[string][]byte{"small": segment(100, 0), "UDP": udp} {
			if s.sheds(p, time.Millisecond) {
				t.Errorf("%s went", name)
			}
		}
		marked := segment(1400, 2)
		if s.sheds(marked, time.Millisecond) || marked[1]>>4&3 != 3 {
			t.Errorf("a segment that can be marked was not: %x", marked[:2])
		}
		if s.sheds(segment(1400, 0), time.Millisecond) {
			t.Error("two went at once")
		}
	})
}

func TestAnIdleLinkIsNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		s := &standing{waits: func() bool { looks++; return true }, epoch: time.Now()}
		for range 100 {
			s.look()
			s.sheds(segment(100, 0), time.Millisecond)
			time.Sleep(time.Second)
		}
		if looks > 0 {
			t.Errorf("%d looks for packets that never go", looks)
		}
		s.look()
		if s.sheds(segment(1400, 0), time.Millisecond) {
			t.Error("the first segment after a pause went: nobody knew what stood there")
		}
	})
}

func TestWhatWaitsInAFileIsSeen(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	waits := readable(r)
	if waits == nil || waits() {
		t.Fatal("something waits in an empty pipe, or it cannot be told")
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if !waits() {
		t.Error("a byte is not seen")
	}
	if n := testing.AllocsPerRun(100, func() { waits() }); n > 0 && !raceEnabled {
		t.Errorf("%v allocations a look", n)
	}
	if readable(nil) != nil {
		t.Error("something waits in no file")
	}
}
