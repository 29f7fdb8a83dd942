package workspaces

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // hosts without a zone database know zones, too
)

// Schedule is a time of day, on some days of the week, in a time zone. Its text
// is "mon-fri 08:30 Europe/Berlin", "sat,sun 10:00" (in UTC) or "daily 07:00".
type Schedule struct {
	days         [7]bool // from Sunday on, as time.Weekday counts
	hour, minute int
	zone         *time.Location
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// maxSchedule bounds the text: seven days, a time, and the longest zone.
const maxSchedule = 100

// ParseSchedule reads a schedule. A *[BadInput] says what is wrong with it.
func ParseSchedule(text string) (Schedule, error) {
	s := Schedule{zone: time.UTC}
	fields := strings.Fields(text)
	if len(text) > maxSchedule || len(fields) < 2 || len(fields) > 3 {
		return s, badInput("schedule %.100q: want DAYS HH:MM [ZONE], such as %q", text, "mon-fri 08:30 Europe/Berlin")
	}
	if err := s.parseDays(strings.ToLower(fields[0])); err != nil {
		return s, err
	}
	at, err := time.Parse("15:04", fields[1])
	if err != nil || len(fields[1]) != len("15:04") {
		return s, badInput("time %q: want HH:MM, from 00:00 to 23:59", fields[1])
	}
	s.hour, s.minute = at.Hour(), at.Minute()
	if len(fields) == 3 {
		// Whatever is local to the coordinator is nobody's.
		if s.zone, err = time.LoadLocation(fields[2]); err != nil || fields[2] == "Local" {
			return s, badInput("time zone %q: want one such as Europe/Berlin or UTC", fields[2])
		}
	}
	return s, nil
}

func (s *Schedule) parseDays(text string) error {
	if text == "daily" || text == "*" {
		for d := range s.days {
			s.days[d] = true
		}
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, last := slices.Index(dayNames, from), slices.Index(dayNames, to)
		if first < 0 || last < 0 {
			return badInput("days %q: want daily, or days such as mon-fri or mon,wed,sat", text)
		}
		for d := first; ; d = (d + 1) % 7 {
			s.days[d] = true
			if d == last {
				break
			}
		}
	}
	return nil
}

// String writes the schedule as ParseSchedule reads it.
func (s Schedule) String() string {
	var days []string
	for i := range 7 { // weeks begin on Monday
		if d := (i + 1) % 7; s.days[d] {
			days = append(days, dayNames[d])
		}
	}
	text := strings.Join(days, ",")
	switch text {
	case "mon,tue,wed,thu,fri":
		text = "mon-fri"
	case "mon,tue,wed,thu,fri,sat,sun":
		text = "daily"
	}
	return fmt.Sprintf("%s %02d:%02d %s", text, s.hour, s.minute, s.zone)
}

// After returns the first time of the schedule after t.
func (s Schedule) After(t time.Time) time.Time {
	for day := -1; ; day++ { // there is one within nine days
		if at, ok := s.on(t, day); ok && at.After(t) {
			return at
		}
	}
}

// Before returns the last time of the schedule that is not after t.
func (s Schedule) Before(t time.Time) time.Time {
	for day := 1; ; day-- {
		if at, ok := s.on(t, day); ok && !at.After(t) {
			return at
		}
	}
}

// on returns the schedule's time on the day that is so many days from t's; false
// if that is no day of it. Each day has one: when clocks go back and show it
// twice it is the first, and when they go forward and leave it out it is the
// moment at which they do.
func (s Schedule) on(t time.Time, day int) (time.Time, bool) {
	year, month, date := t.In(s.zone).Date()
	wall := time.Date(year, month, date+day, s.hour, s.minute, 0, 0, time.UTC)
	if !s.days[wall.Weekday()] {
		return time.Time{}, false
	}
	// The two offsets that may hold then: from before a change, and after it.
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(s.zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(s.zone)
		if at.Hour() == s.hour && at.Minute() == s.minute {
			return at, true
		}
	}
	_, offset := wall.Add(-24 * time.Hour).In(s.zone).Zone()
	jump, _ := wall.Add(-time.Duration(offset) * time.Second).In(s.zone).ZoneBounds()
	return jump, true
}
