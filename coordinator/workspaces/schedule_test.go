package workspaces

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSchedulesAreReadAndWrittenAlike(t *testing.T) {
	for text, want := range map[string]string{
		"mon-fri 08:30 Europe/Berlin":    "mon-fri 08:30 Europe/Berlin",
		"MON,Tue,wed,thu,FRI 08:30":      "mon-fri 08:30 UTC",
		"sat-sun 10:00 America/New_York": "sat,sun 10:00 America/New_York",
		"fri-mon 23:59":                  "mon,fri,sat,sun 23:59 UTC",
		"  daily   00:00   Asia/Tokyo ":  "daily 00:00 Asia/Tokyo",
		"* 07:05":                        "daily 07:05 UTC",
		"sun-sat 07:05":                  "daily 07:05 UTC",
	} {
		s, err := ParseSchedule(text)
		if err != nil || s.String() != want {
			t.Errorf("%q is %q, %v, want %q", text, s, err, want)
		}
	}
	for _, text := range []string{
		"", "mon-fri", "08:30", "mon-fri 8:30", "mon-fri 24:00", "mon-fri 08:60", "mon-fri 08:30:00", "mon-fri 08:30 Mars/Olympus",
		"mon-fri 08:30 Local", "mon-fri 08:30 ../etc/passwd", "mon-fry 08:30", "mon- 08:30", ",mon 08:30", "-mon 08:30",
		"mon-fri 08:30 Europe/Berlin x", "mon-fri \x00 UTC", strings.Repeat("mon,", 50) + "mon 08:30",
	} {
		if s, err := ParseSchedule(text); err == nil {
			t.Errorf("%q is %q, want an error", text, s)
		}
	}
}

// FuzzParseSchedule checks that what is read is written as what reads the same.
func FuzzParseSchedule(f *testing.F) {
	f.Add("mon-fri 08:30 Europe/Berlin")
	f.Add("* 00:00")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := ParseSchedule(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q is %q, and that is %q, %v", text, s, again, err)
		}
	})
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04 -0700", text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Clocks in Berlin went forward on 29 March 2026 from 02:00 to 03:00, and back on
// 25 October from 03:00 to 02:00.
func TestSchedulesWhenClocksChange(t *testing.T) {
	for _, c := range []struct{ schedule, after, want string }{
		{"daily 08:30 Europe/Berlin", "2026-03-28 12:00 +0100", "2026-03-29 08:30 +0200"},
		{"daily 08:30 Europe/Berlin", "2026-10-24 12:00 +0200", "2026-10-25 08:30 +0100"},
		// 02:30 does not happen: it is when the clocks jump.
		{"daily 02:30 Europe/Berlin", "2026-03-28 12:00 +0100", "2026-03-29 03:00 +0200"},
		{"daily 02:30 Europe/Berlin", "2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200"},
		// 02:30 happens twice: it is the first, and once.
		{"daily 02:30 Europe/Berlin", "2026-10-24 12:00 +0200", "2026-10-25 02:30 +0200"},
		{"daily 02:30 Europe/Berlin", "2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"},
		// The days are those of the zone.
		{"mon 00:30 Asia/Tokyo", "2026-11-27 00:00 +0000", "2026-11-30 00:30 +0900"},
		{"mon 23:30 America/Los_Angeles", "2026-11-30 12:00 +0000", "2026-11-30 23:30 -0800"},
		// Half an hour, on Lord Howe.
		{"daily 02:15 Australia/Lord_Howe", "2026-10-03 12:00 +1030", "2026-10-04 02:30 +1100"},
	} {
		s, err := ParseSchedule(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.After(at(t, c.after)), at(t, c.want); !got.Equal(want) {
			t.Errorf("%s after %s is %s, want %s", c.schedule, c.after, got, want)
		}
	}
}

// Going through a schedule forwards and backwards meets the same times, one on
// each of its days.
func TestSchedulesAreTheSameBothWays(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo"}
	rapid.Check(t, func(r *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(r, "zone"))
		if err != nil {
			r.Fatal(err)
		}
		s := Schedule{hour: rapid.IntRange(0, 23).Draw(r, "hour"), minute: rapid.IntRange(0, 59).Draw(r, "minute"), zone: zone}
		s.days[rapid.IntRange(0, 6).Draw(r, "day")] = true
		s.days[rapid.IntRange(0, 6).Draw(r, "other day")] = true
		from := time.Unix(rapid.Int64Range(1_500_000_000, 1_900_000_000).Draw(r, "from"), 0)
		next := s.After(from)
		if !next.After(from) || next.Sub(from) > 8*24*time.Hour {
			r.Fatalf("after %s comes %s", from, next)
		}
		if last := s.Before(next); !last.Equal(next) {
			r.Fatalf("the last time at %s is %s", next, last)
		}
		if last := s.Before(next.Add(-time.Nanosecond)); last.After(from) {
			r.Fatalf("between %s and %s is %s", from, next, last)
		}
		if !s.days[next.In(zone).Weekday()] {
			r.Fatalf("%s is no day of it", next)
		}
	})
}
