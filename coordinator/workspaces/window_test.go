package workspaces

import (
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		window, at string
		open       bool
	}{
		{"mon-fri 07:00-19:00 Europe/Berlin", "2030-01-02T06:00:00Z", true}, // a Wednesday, 07:00 there
		{"mon-fri 07:00-19:00 Europe/Berlin", "2030-01-02T05:59:59Z", false},
		{"mon-fri 07:00-19:00 Europe/Berlin", "2030-01-02T17:59:59Z", true},
		{"mon-fri 07:00-19:00 Europe/Berlin", "2030-01-02T18:00:00Z", false},
		{"mon-fri 07:00-19:00 Europe/Berlin", "2030-01-05T10:00:00Z", false}, // a Saturday
		{"fri 22:00-06:00", "2030-01-05T05:00:00Z", true},                    // from Friday on
		{"fri 22:00-06:00", "2030-01-06T05:00:00Z", false},
		{"daily 00:00-23:59", "2030-01-05T12:00:00Z", true},
		// Clocks go forward at 02:00 of 31 March 2030, in Berlin.
		{"daily 01:00-04:00 Europe/Berlin", "2030-03-31T01:30:00Z", true},
		{"daily 01:00-04:00 Europe/Berlin", "2030-03-31T02:00:00Z", false},
	} {
		w, err := ParseWindow(c.window)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if w.Open(at) != c.open {
			t.Errorf("%s at %s is open: %t", c.window, c.at, !c.open)
		}
		if again, err := ParseWindow(w.String()); err != nil || again.String() != w.String() {
			t.Errorf("%q is read as %q, %v", w.String(), again.String(), err)
		}
	}
	for _, text := range []string{"", "daily", "daily 07:00", "daily 07:00-07:00", "daily 07:00-25:00", "never 07:00-08:00", "daily 07:00-08:00 Mars/Base", "daily 7-8", "daily 07:00 - 08:00 UTC"} {
		if w, err := ParseWindow(text); err == nil {
			t.Errorf("%q is read as %s", text, w)
		}
	}
}
