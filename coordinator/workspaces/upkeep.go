package workspaces

import (
	"fmt"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// catchUp is how late a start may be that was missed because no coordinator
	// was there. It is done once, however many were missed; after that people have
	// either started the workspace themselves or do without.
	catchUp = 2 * time.Hour

	// hearAgain is how long agents have to come back and tell what people did while
	// no coordinator was there to hear it. Nobody's workspace stops before that.
	hearAgain = 5 * time.Minute
)

// Reasons of builds that nobody asks for.
const (
	reasonAutostart = "autostart"
	reasonAutostop  = "autostop"
	reasonDormant   = "dormant"
	reasonForgotten = "dormant for too long"
)

// need is what a workspace needs without anybody asking: to be marked dormant,
// or a build.
type need struct {
	dormant    bool
	transition store.Transition
	reason     string
}

// upkeep says what a workspace needs now, if anything. here is since when this
// coordinator hears of what people do.
//
//	running ─ its time is up, and nobody uses it ─▶ stop
//	stopped ─ a time of its schedule came after its last build ─▶ start
//	any ─ unused for as long as its template says ─▶ dormant ─▶ stop ─▶ delete
//
// A workspace that failed waits for a person, and one that moves for its end.
func upkeep(u store.Upkeep, now, here time.Time) (need, bool) {
	settled := u.Phase == store.PhaseRunning || u.Phase == store.PhaseStopped || u.Phase == store.PhaseFailed
	if !settled || u.Held {
		return need{}, false
	}
	heard := now.Sub(here) >= hearAgain
	running := u.Phase == store.PhaseRunning
	if dormant, forgotten := dormancy(u); !dormant.IsZero() {
		switch {
		case u.DormantAt == nil && heard && !now.Before(dormant):
			return need{dormant: true}, true
		case u.DormantAt != nil && running:
			return need{transition: store.Stop, reason: reasonDormant}, true
		case u.DormantAt != nil && !forgotten.IsZero() && !now.Before(forgotten):
			return need{transition: store.Delete, reason: reasonForgotten}, true
		}
	}
	switch {
	case running:
		if stop, _ := deadline(u); heard && !stop.IsZero() && !now.Before(stop) {
			return need{transition: store.Stop, reason: reasonAutostop}, true
		}
	case u.Phase == store.PhaseStopped && startsItself(u):
		s, err := ParseSchedule(u.Autostart)
		if err != nil {
			return need{}, false // none was kept that cannot be read
		}
		slot := s.Before(now)
		if slot.After(u.BuiltAt) && slot.After(u.AutostartSetAt) && now.Sub(slot) <= catchUp {
			return need{transition: store.Start, reason: reasonAutostart}, true
		}
	}
	return need{}, false
}

func startsItself(u store.Upkeep) bool {
	return u.Autostart != "" && !u.Limits.NoAutostart && u.DormantAt == nil
}

// ttl is how long a workspace runs after its start, or after it was last used;
// zero is for ever.
func ttl(u store.Upkeep) time.Duration {
	if u.TTL != nil {
		return *u.TTL
	}
	return u.Limits.DefaultTTL
}

// deadline returns when a running workspace stops; zero if it does not. final
// says that use does not put it off.
func deadline(u store.Upkeep) (at time.Time, final bool) {
	if u.Transition != store.Start || u.FinishedAt == nil {
		return time.Time{}, false
	}
	started := *u.FinishedAt
	if d := ttl(u); d > 0 {
		at = started.Add(d)
		if bump := u.Limits.ActivityBump; u.LastActiveAt != nil && bump > 0 {
			at = later(at, u.LastActiveAt.Add(bump))
		}
		if u.ExtendedUntil != nil {
			at = later(at, *u.ExtendedUntil)
		}
		final = u.Limits.ActivityBump == 0
	}
	if most := u.Limits.MaxTTL; most > 0 {
		if end := started.Add(most); at.IsZero() || !end.After(at) {
			return end, true
		}
	}
	return at, final
}

// dormancy returns when a workspace is dormant unless it is used, and when one
// that is gets deleted; zero is never.
func dormancy(u store.Upkeep) (dormant, forgotten time.Time) {
	if u.Limits.DormantAfter == 0 && u.DormantAt == nil {
		return time.Time{}, time.Time{}
	}
	if u.DormantAt != nil {
		dormant = *u.DormantAt
	} else {
		dormant = lastUse(u).Add(u.Limits.DormantAfter)
	}
	if u.Limits.DeleteAfter > 0 {
		forgotten = dormant.Add(u.Limits.DeleteAfter)
	}
	return dormant, forgotten
}

// lastUse is when a person last used a workspace, or started it. That it started
// itself is no use.
func lastUse(u store.Upkeep) time.Time {
	if u.LastActiveAt != nil {
		return later(u.UsedAt, *u.LastActiveAt)
	}
	return u.UsedAt
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Outlook is what will become of a workspace if nobody does anything.
type Outlook struct {
	// Zero is never.
	StartsAt, StopsAt, DormantAt, DeletesAt time.Time
	// TTL is how long it runs after its start; zero is for ever.
	TTL time.Duration
	// Warnings are for who looks at it.
	Warnings []string
}

// soon is when what is about to happen is worth a warning.
const (
	stopsSoon    = 30 * time.Minute
	dormantSoon  = 3 * 24 * time.Hour
	warningStyle = "Mon 2 Jan 15:04 MST"
)

// Foresee says what will become of a workspace.
func Foresee(u store.Upkeep, now time.Time) Outlook {
	o := Outlook{TTL: ttl(u)}
	warn := func(format string, args ...any) { o.Warnings = append(o.Warnings, fmt.Sprintf(format, args...)) }
	if u.Limits.Deprecated != "" {
		warn("its template is deprecated: %s", u.Limits.Deprecated)
	}
	if u.Problem != "" {
		warn("what was due could not be done: %s", u.Problem)
	}
	if u.Phase == store.PhaseRunning {
		var final bool
		if o.StopsAt, final = deadline(u); !o.StopsAt.IsZero() && o.StopsAt.Sub(now) <= stopsSoon {
			unless := " unless it is used"
			if final {
				unless = ""
			}
			warn("it stops in %d min%s", max(0, int(o.StopsAt.Sub(now).Minutes())), unless)
		}
	}
	if s, err := ParseSchedule(u.Autostart); err == nil && startsItself(u) {
		o.StartsAt = s.After(now)
	} else if u.Autostart != "" && u.Limits.NoAutostart {
		warn("it does not start by its schedule: its template lets none start by itself")
	}
	o.DormantAt, o.DeletesAt = dormancy(u)
	switch {
	case u.DormantAt != nil && !o.DeletesAt.IsZero():
		warn("it is dormant, and will be deleted on %s unless it is started", o.DeletesAt.UTC().Format(warningStyle))
	case u.DormantAt != nil:
		warn("it is dormant: nobody has used it for long; starting it wakes it")
	case !o.DormantAt.IsZero() && o.DormantAt.Sub(now) <= dormantSoon:
		warn("it will be dormant on %s unless it is used", o.DormantAt.UTC().Format(warningStyle))
	}
	return o
}
