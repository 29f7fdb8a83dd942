package script

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // containers without a zone database know zones, too

	"github.com/robfig/cron/v3"
)

// everyHour is the bit by which cron marks a field that is a plain star.
const everyHour = 1 << 63

// searchDays is how far apart the offsets are that a zone may have around a time:
// no zone changes its clock twice within two days.
const searchDays = 24 * time.Hour

// Schedule is when a script runs: at times of the clock on the wall.
//
// Clocks are put forward and back. What is to run at hours that it names runs once
// a day all the same: a time that is left out counts when the clock has been put
// forward, and one that comes twice counts the first time. What runs in every hour
// runs in each that passes.
type Schedule struct {
	spec *cron.SpecSchedule
	zone *time.Location
}

// ParseSchedule reads a cron expression of five fields or a name such as @daily,
// after "CRON_TZ=ZONE " if it is not by the host's clock.
func ParseSchedule(text string) (Schedule, error) {
	zoned := strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=")
	if zoned && !strings.Contains(text, " ") {
		return Schedule{}, fmt.Errorf("schedule %q: there is nothing after the zone", text)
	}
	parsed, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w", text, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Schedule{}, fmt.Errorf("schedule %q: want five fields such as \"0 4 * * *\", or @hourly, @daily, @weekly, @monthly, @yearly", text)
	}
	if !zoned {
		spec.Location = time.Local
	}
	return Schedule{spec: spec, zone: spec.Location}, nil
}

// Next returns the first time after t; zero if there is none within some years.
func (s Schedule) Next(t time.Time) time.Time {
	if s.spec.Hour&everyHour != 0 {
		return s.spec.Next(t.In(s.zone))
	}
	wall := onWall(t.In(s.zone))
	plain := *s.spec
	plain.Location = time.UTC
	// Of a time that came twice, the second is not after it.
	for {
		if wall = plain.Next(wall); wall.IsZero() {
			return wall
		}
		if at := s.at(wall); at.After(t) {
			return at
		}
	}
}

// onWall is what a clock shows, as a time of a zone that never changes.
func onWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// at is when the zone's clock shows a time for the first time or, if it never
// does, would have shown it had it not been put forward.
func (s Schedule) at(wall time.Time) time.Time {
	offset := func(near time.Time) time.Duration {
		_, seconds := near.In(s.zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := offset(wall.Add(-searchDays)), offset(wall.Add(searchDays))
	// The larger offset is the earlier time.
	first, second := wall.Add(-max(before, after)), wall.Add(-min(before, after))
	for _, at := range []time.Time{first, second} {
		if onWall(at.In(s.zone)).Equal(wall) {
			return at.In(s.zone)
		}
	}
	return wall.Add(-before).In(s.zone)
}
