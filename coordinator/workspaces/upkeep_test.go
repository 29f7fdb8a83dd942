package workspaces

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

// world is a workspace whose days go by minute by minute, with a coordinator that
// looks each minute, unless it is away.
type world struct {
	t    *testing.T
	u    store.Upkeep
	now  time.Time
	here time.Time
	away bool
	told []string
}

// newWorld begins on Monday 2 March 2026 at midnight, in UTC, with a workspace
// that was made then and is stopped.
func newWorld(t *testing.T, l store.Limits) *world {
	t.Helper()
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	return &world{t: t, now: begin, here: begin.Add(-time.Hour), u: store.Upkeep{
		Phase: store.PhaseStopped, Transition: store.Stop, BuiltAt: begin, FinishedAt: &begin, UsedAt: begin, AutostartSetAt: begin, Limits: l,
	}}
}

func hours(n float64) *time.Duration {
	d := time.Duration(n * float64(time.Hour))
	return &d
}

// until lets time pass to a day and time; while it does, use happens each minute
// if used is set.
func (w *world) until(text string, used bool) {
	w.t.Helper()
	end, err := time.Parse("2 15:04", text)
	if err != nil {
		w.t.Fatal(err)
	}
	for target := time.Date(2026, 3, end.Day(), end.Hour(), end.Minute(), 0, 0, time.UTC); w.now.Before(target); {
		w.now = w.now.Add(time.Minute)
		if now := w.now; used && w.u.Phase == store.PhaseRunning && !w.away {
			w.u.LastActiveAt = &now
		}
		if w.away {
			continue
		}
		for n, ok := upkeep(w.u, w.now, w.here); ok; n, ok = upkeep(w.u, w.now, w.here) {
			w.does(n)
		}
	}
}

func (w *world) does(n need) {
	if len(w.told) > 50 {
		w.t.Fatalf("no end to it: %v", w.told)
	}
	stamp := w.now.Format("Mon 2 15:04 ")
	if n.dormant {
		now := w.now
		w.u.DormantAt = &now
		w.told = append(w.told, stamp+"marked dormant")
		return
	}
	w.told = append(w.told, fmt.Sprintf("%s%s (%s)", stamp, n.transition, n.reason))
	w.build(n.transition)
}

func (w *world) build(t store.Transition) {
	now := w.now
	w.u.Transition, w.u.BuiltAt, w.u.FinishedAt, w.u.ExtendedUntil = t, now, &now, nil
	w.u.Phase = map[store.Transition]store.Phase{store.Start: store.PhaseRunning, store.Stop: store.PhaseStopped, store.Delete: store.PhaseDeleted}[t]
}

// person is somebody who builds it by hand.
func (w *world) person(t store.Transition) {
	if t == store.Start {
		w.u.UsedAt, w.u.DormantAt = w.now, nil
	}
	w.build(t)
}

func (w *world) leaves() { w.away = true }
func (w *world) returns() {
	w.away, w.here = false, w.now
}

func (w *world) expect(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.told, "\n"); got != strings.Join(want, "\n") {
		w.t.Errorf("it happened\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	w.told = nil
}

const hour = time.Hour

func TestItStartsAndStopsByItsSchedule(t *testing.T) {
	w := newWorld(t, store.Limits{ActivityBump: hour})
	w.u.Autostart, w.u.TTL = "mon-fri 08:30", hours(9)
	w.until("4 12:00", false)
	w.expect("Mon 2 08:30 start (autostart)", "Mon 2 17:30 stop (autostop)", "Tue 3 08:30 start (autostart)", "Tue 3 17:30 stop (autostop)", "Wed 4 08:30 start (autostart)")
	w.person(store.Stop) // at noon, and it stays so
	w.until("5 00:00", false)
	w.expect()
	w.until("10 00:00", false) // no weekends
	w.expect("Thu 5 08:30 start (autostart)", "Thu 5 17:30 stop (autostop)", "Fri 6 08:30 start (autostart)", "Fri 6 17:30 stop (autostop)",
		"Mon 9 08:30 start (autostart)", "Mon 9 17:30 stop (autostop)")
}

func TestATimeFromBeforeTheScheduleWasSetIsNoneOfIt(t *testing.T) {
	w := newWorld(t, store.Limits{})
	w.until("2 09:00", false)
	w.u.Autostart, w.u.AutostartSetAt = "daily 08:30", w.now
	w.until("3 08:29", false)
	w.expect()
	w.until("3 09:00", false)
	w.expect("Tue 3 08:30 start (autostart)")
}

// Whoever connected last is who keeps it: it stops when nobody has used it for as
// long as the template says, and not when one of several goes.
func TestUseOfAnyKindPutsTheStopOff(t *testing.T) {
	w := newWorld(t, store.Limits{DefaultTTL: 2 * hour, ActivityBump: hour})
	w.until("2 08:00", false)
	w.person(store.Start)
	w.until("2 12:00", true) // two people; one goes
	w.until("2 15:00", true) // the other goes, too
	w.expect()
	w.until("2 20:00", false)
	w.expect("Mon 2 16:00 stop (autostop)")
}

func TestNothingPutsOffTheStopThatATemplateLimits(t *testing.T) {
	w := newWorld(t, store.Limits{DefaultTTL: 2 * hour, MaxTTL: 8 * hour, ActivityBump: hour})
	w.until("2 08:00", false)
	w.person(store.Start)
	until := w.now.Add(12 * hour)
	w.u.ExtendedUntil = &until
	w.until("2 20:00", true)
	w.expect("Mon 2 16:00 stop (autostop)")

	w = newWorld(t, store.Limits{MaxTTL: 8 * hour}) // and if it were to run for ever
	w.u.TTL = hours(0)
	w.person(store.Start)
	w.until("2 20:00", true)
	w.expect("Mon 2 08:00 stop (autostop)")
}

func TestExtendingPutsTheStopOffOnce(t *testing.T) {
	w := newWorld(t, store.Limits{DefaultTTL: 2 * hour})
	w.person(store.Start)
	until := w.now.Add(5 * hour)
	w.u.ExtendedUntil = &until
	w.until("2 08:00", false)
	w.expect("Mon 2 05:00 stop (autostop)")
	w.person(store.Start)
	w.until("2 20:00", false)
	w.expect("Mon 2 10:00 stop (autostop)")
}

// A start that was missed is done once when a coordinator is back within two
// hours, and not at all later.
func TestMissedStarts(t *testing.T) {
	w := newWorld(t, store.Limits{})
	w.u.Autostart = "daily 08:30"
	w.until("2 08:00", false)
	w.leaves()
	w.until("5 10:00", false) // three were missed, and today's
	w.returns()
	w.until("5 12:00", false)
	w.expect("Thu 5 10:01 start (autostart)")
	w.person(store.Stop)
	w.until("6 08:00", false)
	w.leaves()
	w.until("6 10:31", false)
	w.returns()
	w.until("6 23:00", false)
	w.expect()
	w.until("7 09:00", false)
	w.expect("Sat 7 08:30 start (autostart)")
}

// While no coordinator hears what people do, that nobody did anything is not known.
func TestAfterAnOutageAgentsTellBeforeAnythingStops(t *testing.T) {
	w := newWorld(t, store.Limits{DefaultTTL: 2 * hour, ActivityBump: hour})
	w.person(store.Start)
	w.until("2 01:00", true)
	w.leaves()
	w.until("2 06:00", false) // it was used all the time
	w.returns()
	w.until("2 06:03", false)
	w.until("2 06:04", true) // the agent is back, and says so
	w.until("2 07:00", false)
	w.expect()
	w.until("2 08:00", false)
	w.expect("Mon 2 07:04 stop (autostop)")
}

func TestUnusedWorkspacesAreDormantAndThenForgotten(t *testing.T) {
	day := 24 * hour
	w := newWorld(t, store.Limits{DefaultTTL: 8 * hour, ActivityBump: hour, DormantAfter: 3 * day, DeleteAfter: 4 * day})
	w.u.Autostart = "daily 08:00"
	w.until("3 00:00", false)
	w.expect("Mon 2 08:00 start (autostart)", "Mon 2 16:00 stop (autostop)")
	w.until("3 12:00", true) // somebody is there, until noon
	w.until("6 11:00", false)
	w.told = nil
	w.until("7 00:00", false) // that it started itself is no use
	w.expect("Fri 6 12:00 marked dormant", "Fri 6 12:00 stop (dormant)")
	w.until("8 09:00", false)
	w.expect() // nor does it start any more
	w.person(store.Start)
	w.until("8 20:00", false)
	w.expect("Sun 8 17:00 stop (autostop)")
	w.u.Autostart = ""
	w.until("30 00:00", false)
	w.expect("Wed 11 09:00 marked dormant", "Sun 15 09:00 delete (dormant for too long)")
}

func TestWhatMovesOrFailedOrIsHeldIsLeftAlone(t *testing.T) {
	for _, p := range []store.Phase{store.PhasePending, store.PhaseStarting, store.PhaseStopping, store.PhaseDeleting, store.PhaseFailed} {
		w := newWorld(t, store.Limits{DefaultTTL: hour, MaxTTL: hour})
		w.u.Phase, w.u.Autostart = p, "daily 08:30"
		w.until("3 00:00", false)
		w.expect()
	}
	w := newWorld(t, store.Limits{})
	w.u.Held, w.u.Autostart = true, "daily 08:30"
	w.until("3 00:00", false)
	w.expect()
}

func TestATemplateMayLetNoneStartByItself(t *testing.T) {
	w := newWorld(t, store.Limits{NoAutostart: true})
	w.u.Autostart = "daily 08:30"
	w.until("4 00:00", false)
	w.expect()
	if o := Foresee(w.u, w.now); !o.StartsAt.IsZero() || len(o.Warnings) != 1 {
		t.Errorf("%+v, want a warning and no start", o)
	}
}

func TestForesightWarns(t *testing.T) {
	w := newWorld(t, store.Limits{DefaultTTL: 2 * hour, ActivityBump: hour, DormantAfter: 10 * 24 * hour, DeleteAfter: 24 * hour})
	w.u.Autostart = "daily 08:30 Europe/Berlin"
	w.until("2 06:00", false)
	o := Foresee(w.u, w.now)
	if want := time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC); !o.StartsAt.Equal(want) || !o.StopsAt.IsZero() || len(o.Warnings) != 0 {
		t.Errorf("stopped: %+v, want a start at %s and no warning", o, want)
	}
	w.person(store.Start)
	w.until("2 07:35", false)
	if o := Foresee(w.u, w.now); len(o.Warnings) != 1 || o.Warnings[0] != "it stops in 25 min unless it is used" {
		t.Errorf("about to stop: %q", o.Warnings)
	}
	w.u.Autostart = ""
	w.until("10 00:00", false)
	if o := Foresee(w.u, w.now); len(o.Warnings) != 1 || !strings.HasPrefix(o.Warnings[0], "it will be dormant on Thu 12 Mar 06:00 UTC") {
		t.Errorf("about to be dormant: %q", o.Warnings)
	}
	w.until("12 12:00", false)
	if o := Foresee(w.u, w.now); len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], "deleted on Fri 13 Mar 06:00 UTC") {
		t.Errorf("dormant: %q", o.Warnings)
	}
}
