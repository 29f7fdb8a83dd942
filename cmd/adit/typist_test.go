package main

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// keystroke is how often a typist types: the repetition of a held key.
const keystroke = 20 * time.Millisecond

// typist types into an SSH session whose far end echoes, and watches when what was
// typed comes back.
type typist struct {
	t       *testing.T
	session *program // its standard error, as lines
	size    int      // bytes a stroke

	stop  chan struct{}
	pause atomic.Bool // does not type for now
	done  sync.WaitGroup

	mu     sync.Mutex
	typed  []time.Time // by stroke
	echoed []time.Time
	err    error // of typing
}

// types opens a session from a host and types size bytes into it with each
// stroke.
func (d *deployment) types(h *netlab.Host, size int, args ...string) *typist {
	d.t.Helper()
	cmd := d.command(h, append(append([]string{"ssh", "dev", "-v"}, args...), "--", "cat")...)
	out, in := io.Pipe()
	cmd.Stdout = in
	y := &typist{t: d.t, size: size, stop: make(chan struct{})}
	y.session = d.run(h, "session.log", cmd)
	go func() { // ends with the session
		buf, at := make([]byte, size), 0
		for {
			n, err := out.Read(buf[at:])
			if err != nil {
				return
			}
			if at += n; at == size {
				at = 0
				y.mu.Lock()
				y.echoed = append(y.echoed, time.Now())
				y.mu.Unlock()
			}
		}
	}()
	y.done.Go(func() {
		tick := time.NewTicker(keystroke)
		defer tick.Stop()
		stroke := make([]byte, size)
		for {
			select {
			case <-y.stop:
				return
			case <-tick.C:
			}
			if y.pause.Load() {
				continue
			}
			now := time.Now()
			_, err := y.session.stdin.Write(stroke)
			y.mu.Lock()
			y.typed = append(y.typed, now)
			if err != nil {
				y.err = err
				y.mu.Unlock()
				return
			}
			y.mu.Unlock()
		}
	})
	d.t.Cleanup(func() { y.rest(); in.Close() })
	y.echoes(1)
	return y
}

// echoes waits for so many more echoes.
func (y *typist) echoes(n int) {
	y.t.Helper()
	y.mu.Lock()
	want := len(y.echoed) + n
	y.mu.Unlock()
	tick := time.NewTicker(keystroke / 2)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		y.mu.Lock()
		got, err := len(y.echoed), y.err
		y.mu.Unlock()
		if err != nil {
			y.t.Fatalf("typing: %v", err)
		}
		if got >= want {
			return
		}
	}
	y.t.Fatalf("%d echoes did not come within %v", n, patience)
}

// rest stops typing.
func (y *typist) rest() {
	select {
	case <-y.stop:
	default:
		close(y.stop)
	}
	y.done.Wait()
}

// quality is how a session felt for a while.
type quality struct {
	// gap is the longest time without an echo, late the longest that one took.
	gap, late time.Duration
	strokes   int
}

// since tells how the session has felt from a time until now.
func (y *typist) since(from time.Time) quality {
	y.mu.Lock()
	defer y.mu.Unlock()
	now := time.Now()
	q, last := quality{}, from
	for i, at := range y.typed {
		back := now // not yet
		if i < len(y.echoed) {
			back = y.echoed[i]
		}
		if back.Before(from) {
			continue
		}
		q.strokes++
		q.late = max(q.late, back.Sub(at))
		if i < len(y.echoed) {
			q.gap = max(q.gap, back.Sub(last))
			last = back
		}
	}
	q.gap = max(q.gap, now.Sub(last))
	return q
}
