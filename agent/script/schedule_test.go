package script

import (
	"strings"
	"testing"
	"time"
)

// In Berlin the clock went from 02:00 to 03:00 on 29 March 2026, and from 03:00
// back to 02:00 on 25 October.
func TestSchedulesWhenClocksArePutForwardAndBack(t *testing.T) {
	for _, c := range []struct {
		name, spec, from string
		want             []string
	}{
		{"a plain day", "30 4 * * *", "2026-02-01T04:30:00+01:00", []string{"2026-02-02T04:30:00+01:00", "2026-02-03T04:30:00+01:00"}},
		{"a time that the clock leaves out still counts, once", "30 2 * * *", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"the hour after it is itself", "0 3 * * *", "2026-03-28T12:00:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T03:00:00+02:00"}},
		{"a time that comes twice counts the first time", "30 2 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"seen from between the two", "30 2 * * *", "2026-10-25T02:45:00+02:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"seen from within the second", "40 2 * * *", "2026-10-25T02:20:00+01:00", []string{"2026-10-26T02:40:00+01:00"}},
		{"every hour is every hour that passes", "0 * * * *", "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"none of a left out hour", "0 * * * *", "2026-03-29T01:30:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
	} {
		s, err := ParseSchedule("CRON_TZ=Europe/Berlin " + c.spec)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if at = s.Next(at); at.Format(time.RFC3339) != want {
				t.Errorf("%s: time %d is %s, want %s", c.name, i+1, at.Format(time.RFC3339), want)
			}
		}
	}
}

// A schedule never goes back, never stands still, and names what it says, in zones
// that do odd things: half an hour, a day that is left out, midnight.
func TestSchedulesGoOn(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Asia/Kathmandu"} {
		for _, spec := range []string{"15 2 * * *", "0 0 * * *", "*/20 1-3 * * 0", "5 * * * *", "0 12 31 * *"} {
			s, err := ParseSchedule("CRON_TZ=" + zone + " " + spec)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
			for range 800 {
				next := s.Next(at)
				if !next.After(at) {
					t.Fatalf("%s in %s: %v does not follow %v", spec, zone, next, at)
				}
				at = next
			}
		}
	}
}

func TestSchedulesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "at dawn", "* * * *", "60 * * * *", "* * * * * *", "CRON_TZ=Mars/Base 0 4 * * *", "@every 1s", "CRON_TZ=UTC", "TZ=", "@reboot"} {
		if _, err := ParseSchedule(text); err == nil || !strings.Contains(err.Error(), "schedule") {
			t.Errorf("%q: %v", text, err)
		}
	}
	s, err := ParseSchedule("0 0 30 2 *")
	if err != nil {
		t.Fatal(err)
	}
	if next := s.Next(time.Now()); !next.IsZero() {
		t.Errorf("the thirtieth of February is %v", next)
	}
}
