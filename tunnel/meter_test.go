package tunnel

import (
	"testing"
	"testing/synctest"
	"time"
)

// entering has n packets enter and returns a channel that is closed when they
// have.
func entering(m *meter, n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.enter(n)
	}()
	synctest.Wait()
	return done
}

func TestMeterHoldsBackWhatIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(100)
		if !isClosed(entering(m, 100)) {
			t.Fatal("as many as may be under way were held back")
		}
		waiting := entering(m, 20)
		if isClosed(waiting) {
			t.Fatal("too many were let in")
		}
		m.leave(49)
		synctest.Wait()
		if isClosed(waiting) {
			t.Error("let in while more than half are under way")
		}
		m.leave(1)
		synctest.Wait()
		if !isClosed(waiting) {
			t.Error("held back while less than half are under way")
		}
	})
}

func TestMeterLetsAllWaitersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(100)
		m.enter(100)
		first, second := entering(m, 1), entering(m, 1)
		m.leave(51)
		synctest.Wait()
		if !isClosed(first) || !isClosed(second) {
			t.Error("a waiter was forgotten")
		}
	})
}

// What the device drops never leaves.
func TestMeterForgetsWhatWasDroppedInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(100)
		m.enter(100)
		began := time.Now()
		m.enter(1)
		if took := time.Since(began); took != meterPatience {
			t.Errorf("held back for %v, want %v", took, meterPatience)
		}
		m.enter(90)
		time.Sleep(meterPatience)
		if !isClosed(entering(m, 100)) {
			t.Error("packets of before a pause still count")
		}
	})
}

// On a busy machine packets leave slowly. They are under way for as long as any do.
func TestMeterWaitsForWhatLeavesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(100)
		m.enter(100)
		waiting := entering(m, 1)
		for range 49 {
			time.Sleep(meterPatience / 2)
			m.leave(1)
			synctest.Wait()
			if isClosed(waiting) {
				t.Fatal("let in although packets were leaving and more than half are under way")
			}
		}
		m.leave(1)
		synctest.Wait()
		if !isClosed(waiting) {
			t.Error("held back while less than half are under way")
		}
	})
}

// The device sends packets of its own, which never entered.
func TestMeterDoesNotOweWhatLeftUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(100)
		m.leave(1000)
		m.enter(100)
		if isClosed(entering(m, 1)) {
			t.Error("packets that left were held against those that come")
		}
		m.leave(101)
	})
}

func TestMeterAllocatesNothing(t *testing.T) {
	m := newMeter(100)
	if n := testing.AllocsPerRun(1000, func() { m.enter(10); m.leave(10) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
