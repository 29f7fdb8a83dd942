package beat

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who begins at different times is woken at the same ones.
func TestTimersEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond)
		a := NewTimer(2 * time.Second)
		time.Sleep(500 * time.Millisecond)
		b := NewTimer(time.Second)
		defer a.Stop()
		defer b.Stop()
		for range 3 {
			<-b.C
			b.Again()
			if now := time.Now(); !now.Equal(now.Truncate(time.Second)) {
				t.Errorf("woken at %v", now)
			}
			at := <-a.C
			a.Again()
			second := <-b.C
			b.Again()
			if !second.Equal(at) {
				t.Errorf("woken at %v and %v", at, second)
			}
		}
		if d := Next(2 * time.Second); d != 2*time.Second {
			t.Errorf("%v to go at a multiple, want all of it", d)
		}
	})
}
