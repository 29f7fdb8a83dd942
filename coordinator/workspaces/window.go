package workspaces

import (
	"fmt"
	"strings"
	"time"
)

// Window is a time of day to another, on some days of the week, in a time zone. Its
// text is "mon-fri 07:00-19:00 Europe/Berlin". One that ends before it begins ends on
// the day after.
type Window struct{ from, to Schedule }

// ParseWindow reads a window. A *[BadInput] says what is wrong with it.
func ParseWindow(text string) (Window, error) {
	fields := strings.Fields(text)
	if len(text) > maxSchedule || len(fields) < 2 || len(fields) > 3 {
		return Window{}, badInput("schedule %.100q: want DAYS HH:MM-HH:MM [ZONE], such as %q", text, "mon-fri 07:00-19:00 Europe/Berlin")
	}
	begin, end, ok := strings.Cut(fields[1], "-")
	if !ok || begin == end {
		return Window{}, badInput("times %q: want HH:MM-HH:MM, from one time to another", fields[1])
	}
	zone := strings.Join(fields[2:], "")
	from, err := ParseSchedule(strings.Join([]string{fields[0], begin, zone}, " "))
	if err != nil {
		return Window{}, err
	}
	to, err := ParseSchedule(strings.Join([]string{"daily", end, zone}, " "))
	return Window{from, to}, err
}

// Open reports whether a time is within the window.
func (w Window) Open(t time.Time) bool { return t.Before(w.to.After(w.from.Before(t))) }

// String writes the window as ParseWindow reads it.
func (w Window) String() string {
	fields := strings.Fields(w.from.String())
	return fmt.Sprintf("%s %s-%02d:%02d %s", fields[0], fields[1], w.to.hour, w.to.minute, fields[2])
}
