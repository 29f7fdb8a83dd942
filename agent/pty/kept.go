package pty

import (
	"bytes"
	"io"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
)

const (
	// scrollback is how much of what was shown is kept; there may be twice as much
	// for a moment.
	scrollback = 1 << 20

	// stuckAfter is how long the fastest viewer may read nothing before output goes
	// on without it.
	stuckAfter = time.Second

	// hangupGrace is how long a program may take to end after a hang-up.
	hangupGrace = 5 * time.Second

	// maxFirstLine is how far the beginning of a line is looked for in what is left
	// of the output.
	maxFirstLine = 4 << 10
)

// skipped is shown in place of what a viewer has missed: colours and the like end.
const skipped = "\x1b[m\r\n[adit: output was skipped]\r\n"

// What a program writes to show something over all that was there, such as an
// editor, and to take it away again.
const (
	enterFull = "\x1b[?1049h"
	leaveFull = "\x1b[?1049l"
)

// kept is a session that this process keeps. What its program writes goes into one
// buffer, of which each viewer has read so much: one that does not read costs
// nothing, and misses what has left the buffer. Its size is that of its smallest
// viewer.
type kept struct {
	name    string
	created time.Time
	tty     *Terminal
	program *Process
	input   chan []byte   // what is typed
	over    chan struct{} // closed when the program has ended

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and replaced whenever something below is another
	buf     []byte        // the output from byte start on
	start   int64
	full    bool // the program shows something over all that was there
	viewers map[*viewer]bool
	size    Size
	reaped  bool // the program has ended
	ended   bool // and so has its output
	err     error
}

// keep starts a session.
func keep(name string, size Size, cmd *exec.Cmd, start family.Starter) (*kept, error) {
	tty, err := Open(size, "")
	if err != nil {
		return nil, err
	}
	program, err := tty.Start(cmd, start)
	if err != nil {
		tty.Close()
		return nil, err
	}
	return &kept{
		name: name, created: time.Now(), tty: tty, program: program, size: size,
		input: make(chan []byte), over: make(chan struct{}), changed: make(chan struct{}), viewers: make(map[*viewer]bool),
	}, nil
}

// run passes on what is typed and shown until the program has ended.
func (k *kept) run() {
	var wg sync.WaitGroup
	wg.Go(func() { k.tty.CopyTo(k) })
	wg.Go(func() {
		for {
			select {
			case p := <-k.input:
				_, _ = k.tty.Write(p) // it ends with the program
			case <-k.over:
				return
			}
		}
	})
	err := k.program.Wait()
	k.mu.Lock()
	k.reaped, k.err = true, err
	k.mu.Unlock()
	close(k.over)
	k.tty.End()
	wg.Wait()
	k.tty.Close()
	k.program.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	k.tell()
}

// hangUp ends the program: politely, then not.
func (k *kept) hangUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reaped {
		return // its id may be another's
	}
	_ = k.program.Signal(syscall.SIGHUP) // it may be ending
	go func() {
		select {
		case <-k.over:
		case <-time.After(hangupGrace):
			_ = k.program.Kill()
		}
	}()
}

// tell tells of a change. k.mu is held.
func (k *kept) tell() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// Write takes what the program shows.
func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pace(len(p))
	k.buf = append(k.buf, p...)
	if over := len(k.buf) - 2*scrollback; over > 0 {
		cut := len(k.buf) - scrollback
		k.buf = append(k.buf[:0], k.buf[cut:]...)
		k.start += int64(cut)
	}
	k.watchFull(len(p))
	k.tell()
	return len(p), nil
}

// pace waits until the fastest of the viewers would not miss n more bytes, unless it
// is stuck: what one person reads is not to be lost, and what nobody reads is to
// hold nothing up. k.mu is held, but not while it waits.
func (k *kept) pace(n int) {
	for {
		var fastest *viewer
		for v := range k.viewers {
			if fastest == nil || v.at > fastest.at {
				fastest = v
			}
		}
		if fastest == nil || k.end()+int64(n)-fastest.at <= scrollback {
			return
		}
		left := stuckAfter - time.Since(fastest.lastRead)
		if left <= 0 {
			return
		}
		changed := k.changed
		k.mu.Unlock()
		select {
		case <-changed:
		case <-k.over:
			k.mu.Lock()
			return
		case <-time.After(left):
		}
		k.mu.Lock()
	}
}

func (k *kept) end() int64 { return k.start + int64(len(k.buf)) }

// watchFull looks in the last n bytes, and a few before, for what says whether the
// program shows something over all that was there. k.mu is held.
func (k *kept) watchFull(n int) {
	last := k.buf[max(0, len(k.buf)-n-len(enterFull)+1):]
	enter, leave := bytes.LastIndex(last, []byte(enterFull)), bytes.LastIndex(last, []byte(leaveFull))
	if enter != leave {
		k.full = enter > leave
	}
}

// attach adds a viewer, who sees what was shown before.
func (k *kept) attach(size Size) *viewer {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := &viewer{kept: k, size: size, at: max(k.start, k.end()-scrollback), lastRead: time.Now(), left: make(chan struct{})}
	switch {
	case k.full:
		// The program draws anew, for it is told of two changes of its size.
		v.at, v.first = k.end(), []byte(enterFull)
		_ = k.tty.Resize(Size{Columns: k.size.Columns, Rows: max(k.size.Rows, 2) - 1}) // fit sets it
		k.size = Size{}
	case v.at > 0:
		v.at += int64(firstLine(k.buf[v.at-k.start:]))
	}
	k.viewers[v] = true
	k.fit()
	return v
}

// firstLine is where the first whole line begins in what is left of an output.
func firstLine(left []byte) int {
	return bytes.IndexByte(left[:min(len(left), maxFirstLine)], '\n') + 1
}

// fit gives the terminal the size of the smallest viewer. k.mu is held.
func (k *kept) fit() {
	var size Size
	for v := range k.viewers {
		if v.size.Columns == 0 || v.size.Rows == 0 {
			continue // it has none
		}
		if size.Columns == 0 || v.size.Columns < size.Columns {
			size.Columns, size.Width = v.size.Columns, v.size.Width
		}
		if size.Rows == 0 || v.size.Rows < size.Rows {
			size.Rows, size.Height = v.size.Rows, v.size.Height
		}
	}
	if size.Columns == 0 || size == k.size || k.ended {
		return
	}
	k.size = size
	_ = k.tty.Resize(size) // it ends with the program
}

func (k *kept) info() Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Info{Name: k.name, Kept: "agent", Created: k.created, Viewers: len(k.viewers)}
}

// viewer is somebody who looks at a session that this process keeps.
type viewer struct {
	*kept
	leave sync.Once
	left  chan struct{} // closed by Close

	// What follows is guarded by kept.mu.
	size     Size
	at       int64  // how much of the output it has read
	first    []byte // what it is to read before that
	lastRead time.Time
}

func (v *viewer) Read(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		if n := v.next(p); n > 0 {
			v.lastRead = time.Now()
			v.tell() // the program may go on
			return n, nil
		}
		if v.ended {
			return 0, io.EOF
		}
		changed := v.changed
		v.mu.Unlock()
		select {
		case <-changed:
		case <-v.left:
			v.mu.Lock()
			return 0, io.ErrClosedPipe
		}
		v.mu.Lock()
	}
}

// next copies what is to be read next. v.mu is held.
func (v *viewer) next(p []byte) int {
	if v.at < v.start {
		v.at, v.first = v.start+int64(firstLine(v.buf)), []byte(skipped)
	}
	if len(v.first) > 0 {
		n := copy(p, v.first)
		v.first = slices.Clone(v.first[n:])
		return n
	}
	n := copy(p, v.buf[v.at-v.start:])
	v.at += int64(n)
	return n
}

func (v *viewer) Write(p []byte) (int, error) {
	select {
	case v.input <- slices.Clone(p):
		return len(p), nil
	case <-v.over:
	case <-v.left:
	}
	return 0, io.ErrClosedPipe
}

func (v *viewer) Resize(s Size) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.size = s
	v.fit()
	return nil
}

func (v *viewer) Wait() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

func (v *viewer) Close() error {
	v.leave.Do(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		close(v.left)
		delete(v.viewers, v)
		v.fit()
		v.tell()
	})
	return nil
}
