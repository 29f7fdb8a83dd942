package script

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// maxLine bounds a line; a longer one goes on in the next.
	maxLine = 4 << 10

	// A script may say outputBurst at once and outputRate a second for ever: more
	// than a person reads, and what the coordinator keeps in all.
	outputBurst = 1 << 20
	outputRate  = 64 << 10

	// pipeRate is how much more than that is read, and thrown away, in a second. A
	// script that prints without end waits for its pipe then, and costs the agent
	// next to nothing.
	pipeRate = 16 << 20

	// pipePause gathers pauses: shorter ones are not kept exactly.
	pipePause = 10 * time.Millisecond
)

// flow is how much of what a script prints is kept.
type flow struct {
	left    float64 // bytes
	at      time.Time
	dropped int // lines since the last that was kept
	owed    time.Duration
}

func newFlow(now time.Time) *flow { return &flow{left: outputBurst, at: now} }

// admit reports whether a line of n bytes is kept. Once there is no room, lines
// are left out until there is some for many.
func (f *flow) admit(n int, now time.Time) bool {
	f.left = min(f.left+now.Sub(f.at).Seconds()*outputRate, outputBurst)
	f.at = now
	if f.left < float64(n) || f.dropped > 0 && f.left < outputRate {
		f.dropped++
		f.owed += time.Duration(n) * time.Second / pipeRate
		return false
	}
	f.left -= float64(n)
	return true
}

// note says what was left out since it was last asked, if anything was.
func (f *flow) note() string {
	if f.dropped == 0 {
		return ""
	}
	n := f.dropped
	f.dropped = 0
	return fmt.Sprintf("(%d lines are left out here: more than %d KiB a second are not kept)", n, outputRate>>10)
}

// pause is how long the reader is to wait now.
func (f *flow) pause() time.Duration {
	if f.owed < pipePause {
		return 0
	}
	d := f.owed
	f.owed = 0
	return d
}

// readLines calls say with each line of r that is kept, and once for many that
// are not.
func readLines(r io.Reader, say func(string)) {
	lines := bufio.NewReaderSize(r, maxLine)
	f := newFlow(time.Now())
	defer func() {
		if note := f.note(); note != "" {
			say(note)
		}
	}()
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			missed := f.dropped
			if f.admit(len(line), time.Now()) {
				if missed > 0 {
					say(f.note())
				}
				say(strings.TrimRight(string(line), "\r\n"))
			} else if d := f.pause(); d > 0 {
				time.Sleep(d)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
